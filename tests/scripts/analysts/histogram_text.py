import random
import statistics

random.seed(11)
values = [random.gauss(50, 12) for _ in range(500)]
for low in range(10, 90, 10):
    count = sum(low <= value < low + 10 for value in values)
    print(f"{low:>3} {'#' * (count // 5)}")
print(f"{statistics.mean(values):.3f} {statistics.stdev(values):.3f} {statistics.median(values):.3f}")
