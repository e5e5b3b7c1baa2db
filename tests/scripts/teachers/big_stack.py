import sys
import threading

sys.setrecursionlimit(1 << 18)
threading.stack_size(1 << 26)


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


def main():
    print(deep(20_000))


threading.Thread(target=main).start()
