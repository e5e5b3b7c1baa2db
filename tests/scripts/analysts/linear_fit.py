import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, (80, 1))
y = 3 * x[:, 0] + 2 + rng.normal(0, 0.5, 80)
model = LinearRegression().fit(x, y)
print(np.round(model.coef_, 2), round(float(model.intercept_), 1))
print("r2 %.2f" % cross_val_score(model, x, y, cv=4).mean())
