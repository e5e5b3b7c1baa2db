import itertools
import random

random.seed(5)
attempts = itertools.count(1)


def flaky():
    number = next(attempts)
    if number < 4:
        raise ConnectionError(f"attempt {number}")
    return "data"


waited = 0.0
for delay in (2**n for n in range(10)):
    try:
        print(flaky())
        break
    except ConnectionError as error:
        waited += delay + random.random()
        print("retry after", error)
print(f"would have waited {waited:.3f} s")
