"""Calls to a method that do not keep its object."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType

P = ParamSpec("P")
T = TypeVar("T")


def weak(method: Callable[P, T]) -> Callable[P, T]:
    """Call a method without keeping its object: in a cycle of references an execution's megabytes would stay until the
    garbage collector looks at the oldest generation, which may be never.

    What is returned raises ReferenceError once the object is gone.
    """
    bound = cast("MethodType", method)
    reference, function = ref(bound.__self__), bound.__func__  # a WeakMethod takes three times the memory

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        owner = reference()
        if owner is None:
            raise ReferenceError("the execution is over and forgotten")
        return cast("T", function(owner, *args, **kwargs))

    return call
