"""What a class must be that a plugin registers: a backend, a mediator or a store."""

from __future__ import annotations

import logging
import re
import typing
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from airlock import interfaces
from airlock.backends import ENFORCED_BY_BACKEND, USED_BY_BACKEND, Backend, BackendSettings
from airlock.llm import Mediator, MediatorSettings
from airlock.stores import Store, StoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

_WORD: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class PluginError(Exception):
    """Raised when a plugin breaks a contract, which is described in this `section` of docs/plugins.md."""

    def __init__(self, message: str, section: str = "Hooks") -> None:
        super().__init__(message)
        self.section = section


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One kind of class. Each of the `attributes` is True or False, or a set out of the words that are given here."""

    base: type[Backend[Any] | Mediator[Any] | Store[Any]]
    settings: type[BaseModel]
    section: str
    attributes: Mapping[str, type[bool] | frozenset[str]] = field(default_factory=dict)


Kind = Literal["backend", "mediator", "store"]

CONTRACTS: Final[Mapping[Kind, Contract]] = {
    "backend": Contract(
        base=Backend,
        settings=BackendSettings,
        section="Backends",
        attributes={"runs_code": bool, "enforces": ENFORCED_BY_BACKEND, "uses": USED_BY_BACKEND},
    ),
    "mediator": Contract(base=Mediator, settings=MediatorSettings, section="Mediators"),
    "store": Contract(base=Store, settings=StoreSettings, section="Stores", attributes={"is_durable": bool}),
}


def check(cls: object, contract: Contract) -> str:
    """Return the word in airlock.yaml for a class. Raises PluginError with everything that is wrong with the class."""
    if not isinstance(cls, type) or not issubclass(cls, contract.base):
        hint = ": return the class, not an instance" if isinstance(cls, contract.base) else ""
        raise PluginError(f"{named(cls)} is no subclass of airlock.{contract.base.__name__}{hint}", contract.section)
    faults = [
        *interfaces.faults(cls),
        *_type_faults(cls),
        *_settings_faults(cls, contract.settings),
        *_attribute_faults(cls, contract.attributes),
    ]
    if faults:
        raise PluginError("; ".join(faults), contract.section)
    return cls.type


def _type_faults(cls: Any) -> Iterator[str]:
    word = getattr(cls, "type", None)
    if word is None:
        yield f"{named(cls)} has no `type`, the word for it in airlock.yaml"
    elif not isinstance(word, str) or not _WORD.fullmatch(word):
        yield f"{named(cls)}.type is {word!r}, and must be a word of lower-case letters and digits, with '-' in between"
    else:
        owner = next(base for base in cls.__mro__ if "type" in vars(base))
        if _distribution(owner) != _distribution(cls):
            yield f"{named(cls)} has no `type` of its own: {word!r} is that of {owner.__module__}.{named(owner)}"


def _settings_faults(cls: Any, base: type[BaseModel]) -> Iterator[str]:
    options = getattr(cls, "Settings", None)
    if not (isinstance(options, type) and issubclass(options, base)):
        yield f"{named(cls)}.Settings is {named(options)}, which is no subclass of airlock.{base.__name__}"
        return
    if "type" in options.model_fields:
        yield f"{named(options)} has a field `type`, which airlock.yaml needs for the name of the plugin"
    for wanted in _settings_of_generic(cls, base):
        if not issubclass(options, wanted):
            name = named(wanted)
            yield f"{named(cls)} takes {name}, but its Settings is {named(options)}: write `Settings = {name}`"
    yield from _default_faults(options)


def _settings_of_generic(cls: type, base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Find what stands in brackets, as in `Backend[EchoSettings]`."""
    for parent in cls.__mro__:
        for generic in vars(parent).get("__orig_bases__", ()):
            for argument in typing.get_args(generic):
                if isinstance(argument, type) and issubclass(argument, base):
                    yield argument


def _default_faults(options: type[BaseModel]) -> Iterator[str]:
    """Find defaults that an operator could not write. pydantic itself takes a default as it is."""
    try:

        class Checked(options):  # type: ignore[valid-type, misc]
            model_config = ConfigDict(validate_default=True)

        Checked.model_validate({})
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["loc"] and problem["type"] != "missing":  # without a place: fields that belong together
                place = ".".join(map(str, problem["loc"]))
                yield f"the default of {named(options)}.{place} is one that it refuses itself: {problem['msg']}"
    except Exception:  # whatever a validator or default factory does: it is told when it is needed
        log.debug("the defaults of %s cannot be checked", named(options), exc_info=True)


def _attribute_faults(cls: Any, attributes: Mapping[str, type[bool] | frozenset[str]]) -> Iterator[str]:
    for name, expected in attributes.items():
        value = getattr(cls, name)
        label = f"{named(cls)}.{name}"
        if isinstance(expected, frozenset):
            known = ", ".join(sorted(expected))
            if not isinstance(value, AbstractSet):
                yield f"{label} must be a frozenset of names out of: {known}"
            elif unknown := value - expected:
                yield f"{label} names {', '.join(sorted(map(str, unknown)))}, which is none of: {known}"
        elif not isinstance(value, expected):
            yield f"{label} is {value!r:.100}, and must be True or False"


def _distribution(cls: type) -> str:
    """Return what tells plugins apart: two of them never share a top-level package."""
    return cls.__module__.partition(".")[0]


def named(thing: object) -> str:
    """Name what a plugin gave us instead of a class, or the class."""
    return thing.__qualname__ if isinstance(thing, type) else f"{type(thing).__name__} {thing!r:.100}"
