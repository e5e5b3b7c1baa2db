from multiprocessing import Process, get_context
from multiprocessing.shared_memory import SharedMemory

import numpy as np


def square(name, shape):
    memory = SharedMemory(name)
    array = np.ndarray(shape, buffer=memory.buf, dtype="f8")
    array **= 2
    del array
    memory.close()


if __name__ == "__main__":
    memory = SharedMemory(create=True, size=8 * 10)
    array = np.ndarray((10,), buffer=memory.buf, dtype="f8")
    array[:] = range(10)
    child = get_context("fork").Process(target=square, args=(memory.name, (10,)))
    child.start()
    child.join()
    print(array.sum(), child.exitcode)
    del array
    memory.close()
    memory.unlink()
