"""
>>> double(2)
4
>>> double("a")
'aa'
"""
import doctest


def double(x):
    """
    >>> double([1])
    [1, 1]
    """
    return x * 2


print(doctest.testmod())
