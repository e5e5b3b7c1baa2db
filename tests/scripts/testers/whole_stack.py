"""Looks at every frame below itself, to find the program that runs."""

import inspect


def program():
    outermost = inspect.stack()[-1]
    return outermost.function, outermost.filename == __file__


print(program())
print([frame.function for frame in inspect.stack()])
