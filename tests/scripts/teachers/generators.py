import itertools


def primes():
    found = []
    for n in itertools.count(2):
        if all(n % p for p in found):
            found.append(n)
            yield n


def echo():
    try:
        while True:
            got = yield
            print("got", got)
    finally:
        print("closed")


print(list(itertools.islice(primes(), 15)))
e = echo()
next(e)
e.send(1)
e.close()
left = echo()
next(left)
