import numpy as np
from scipy import stats

rng = np.random.default_rng(3)
a, b = rng.normal(0, 1, 40), rng.normal(0.6, 1, 40)
result = stats.ttest_ind(a, b)
print(f"t={result.statistic:.4f} p={result.pvalue:.6f}")
print(stats.describe(a).nobs, round(float(stats.skew(b)), 4))
