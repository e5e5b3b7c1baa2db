"""Checks that a class has the methods that core calls, and that they can be called as core calls them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FunctionType

_OURS = __name__.partition(".")[0]


def faults(cls: type) -> Iterator[str]:
    """Yield how each method differs from what core's base classes promise.

    Parameters may have other names, and more of them may follow if they have defaults: core never passes those.
    """
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        yield f"{cls.__qualname__} does not define {', '.join(missing)}"
    for name, (base, promised) in _promised(cls).items():
        found = getattr(cls, name)
        if found is promised or name in missing:
            continue
        label = f"{cls.__qualname__}.{name}"
        if name.startswith("_") and name != "__init__":
            yield f"{label} replaces a private method of airlock.{base.__name__}: choose another name"
        elif not callable(found):
            yield f"{label} is a {type(found).__name__}, not a method"
        else:
            is_bound = isinstance(inspect.getattr_static(cls, name), (classmethod, staticmethod))
            yield from _kind_fault(label, found, promised)
            yield from _parameter_fault(label, found, promised, () if is_bound else (None,))


def _promised(cls: type) -> Mapping[str, tuple[type, FunctionType]]:
    """Return the methods that core's own base classes define, and the class of each."""
    return {
        name: (base, value)
        for base in reversed(cls.__mro__)
        if base.__module__.partition(".")[0] == _OURS
        for name, value in vars(base).items()
        if inspect.isfunction(value) and (name == "__init__" or not name.startswith("__"))
    }


def _kind_fault(label: str, found: Callable[..., Any], promised: FunctionType) -> Iterator[str]:
    if not inspect.iscoroutinefunction(promised):
        if inspect.iscoroutinefunction(found):
            yield f"{label} is async: core calls it without await, so make it a plain `def`"
    elif inspect.isasyncgenfunction(found):
        yield f"{label} is a generator (it has a `yield`): core awaits it, so return the value instead"
    elif not inspect.iscoroutinefunction(inspect.unwrap(found)):  # a decorator may return what it wraps
        yield f"{label} is not async: core awaits it, so make it an `async def`"


def _parameter_fault(
    label: str, found: Callable[..., Any], promised: FunctionType, given: tuple[object, ...]
) -> Iterator[str]:
    try:
        signature = inspect.signature(found, follow_wrapped=False)  # core calls the wrapper
    except ValueError:  # code written in C may not declare its parameters
        return
    _, *wanted = inspect.signature(promised).parameters.values()
    names = [parameter.name for parameter in wanted]  # core passes all of them by position
    try:
        signature.bind(*given, *names)
    except TypeError as error:
        call = f"{promised.__name__}({', '.join(names)})"
        yield f"{label}{_bare(signature)} cannot be called as core calls it, {call}: {error}"


def _bare(signature: inspect.Signature) -> inspect.Signature:
    """Leave out the annotations, which do not affect calls."""
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=signature.empty)
