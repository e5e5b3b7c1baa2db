import sys


def depth(n):
    return depth(n + 1)


try:
    depth(0)
except RecursionError as error:
    print(error)
sys.setrecursionlimit(5000)


def count(n):
    return 0 if n == 0 else 1 + count(n - 1)


print(count(4000))
