import numpy as np

rng = np.random.default_rng(2024)
points = rng.random((200_000, 2))
print(round(4 * float(np.mean((points**2).sum(axis=1) < 1)), 4))
