import atexit


@atexit.register
def bye():
    print("bye")


class Noisy:
    def __del__(self):
        print("deleted")


noisy = Noisy()
print("main is done")
