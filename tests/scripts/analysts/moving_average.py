import numpy as np

rng = np.random.default_rng(7)
prices = 100 + rng.normal(0, 1, 50).cumsum()
window = np.ones(5) / 5
smooth = np.convolve(prices, window, mode="valid")
print(smooth.shape, round(float(smooth[0]), 4), round(float(smooth[-1]), 4))
print("max drawdown %.4f" % float((prices - np.maximum.accumulate(prices)).min()))
