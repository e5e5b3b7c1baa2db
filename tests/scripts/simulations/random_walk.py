import random

random.seed(42)
x = y = 0
for _ in range(10_000):
    dx, dy = random.choice([(0, 1), (1, 0), (0, -1), (-1, 0)])
    x, y = x + dx, y + dy
print(x, y)
