"""The kinds of things that plugins register, each under a name, and what is required of each kind.

A new kind is a line in `KINDS` with its base class, a hook in hookspecs.py and a section of docs/plugins.md.
"""

from __future__ import annotations

import logging
import re
import typing
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from airlock import interfaces
from airlock.backends import ENFORCED_BY_BACKEND, USED_BY_BACKEND, Backend, BackendSettings
from airlock.errors import AirlockError
from airlock.llm import Mediator, MediatorSettings
from airlock.stores import Store, StoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typer import Typer


log = logging.getLogger(__name__)

T = TypeVar("T")

_WORD: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_WORD_RULE: Final = "must be a word of lower-case letters and digits, with '-' in between"


class PluginError(AirlockError):
    """Raised when a plugin breaks a contract; `section` names the section of docs/plugins.md that describes it."""

    def __init__(self, message: str, section: str = "Hooks") -> None:
        super().__init__(message)
        self.section = section


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """What plugins register. `name` is what users call it, `section` describes it in docs/plugins.md."""

    name: str
    section: str
    items: str  # what its hook returns a list of

    @property
    def hook(self) -> str:
        """The hook that offers things of this kind."""
        return f"airlock_register_{self.name}s"

    def check(self, item: object) -> str:
        """Return the word that names the item. Raises PluginError with everything that is wrong with it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassKind(Kind[T]):
    """Classes, each a word in airlock.yaml. Each of the `attributes` is a bool, or a subset of the given words."""

    items: str = "classes"
    base: type[Backend[Any] | Mediator[Any] | Store[Any]]
    settings: type[BaseModel]
    attributes: Mapping[str, type[bool] | frozenset[str]] = field(default_factory=dict)

    def check(self, item: object) -> str:
        """See `Kind.check`."""
        if not isinstance(item, type) or not issubclass(item, self.base):
            hint = ": return the class, not an instance" if isinstance(item, self.base) else ""
            raise PluginError(f"{named(item)} is not a subclass of airlock.{self.base.__name__}{hint}", self.section)
        faults = [
            *interfaces.faults(item),
            *_type_faults(item),
            *_settings_faults(item, self.settings),
            *_attribute_faults(item, self.attributes),
        ]
        if faults:
            raise PluginError("; ".join(faults), self.section)
        return item.type


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandKind(Kind[T]):
    """Typer apps, each a word after `airlock` on the command line. Core's own commands are `taken`."""

    items: str = "typer apps"
    taken: frozenset[str]

    def check(self, item: object) -> str:
        """See `Kind.check`."""
        import typer  # noqa: PLC0415 - only servers with such plugins need it

        if not isinstance(item, typer.Typer):
            raise PluginError(f"{named(item)} is not a typer.Typer", self.section)
        word = item.info.name
        if not isinstance(word, str):
            raise PluginError('a typer app has no name: write typer.Typer(name="...")', self.section)
        if not _WORD.fullmatch(word):
            raise PluginError(f"the name of a typer app is {word!r}, and {_WORD_RULE}", self.section)
        if word in self.taken:
            raise PluginError(f"the command {word!r} is core's: choose another name", self.section)
        return word


BACKEND: Final[ClassKind[type[Backend[Any]]]] = ClassKind(
    name="backend",
    section="Backends",
    base=Backend,
    settings=BackendSettings,
    attributes={"runs_code": bool, "enforces": ENFORCED_BY_BACKEND, "uses": USED_BY_BACKEND},
)
MEDIATOR: Final[ClassKind[type[Mediator[Any]]]] = ClassKind(
    name="mediator", section="Mediators", base=Mediator, settings=MediatorSettings
)
STORE: Final[ClassKind[type[Store[Any]]]] = ClassKind(
    name="store", section="Stores", base=Store, settings=StoreSettings, attributes={"is_durable": bool}
)
COMMAND: Final[CommandKind[Typer]] = CommandKind(
    name="command",
    section="Commands",
    taken=frozenset(
        "serve run exec ps logs cancel up down init check plugins keys schema".split()  # noqa: SIM905 - as one reads it
    ),
)
KINDS: Final[tuple[Kind[Any], ...]] = (BACKEND, MEDIATOR, STORE, COMMAND)


def _type_faults(cls: Any) -> Iterator[str]:
    word = getattr(cls, "type", None)
    if word is None:
        yield f"{named(cls)} has no `type`, the word for it in airlock.yaml"
    elif not isinstance(word, str) or not _WORD.fullmatch(word):
        yield f"{named(cls)}.type is {word!r}, and {_WORD_RULE}"
    else:
        owner = next(base for base in cls.__mro__ if "type" in vars(base))
        if _distribution(owner) != _distribution(cls):
            inherited = f"{word!r} is inherited from {owner.__module__}.{named(owner)}"
            yield f"{named(cls)} does not define its own `type`: {inherited}"


def _settings_faults(cls: Any, base: type[BaseModel]) -> Iterator[str]:
    options = getattr(cls, "Settings", None)
    if not (isinstance(options, type) and issubclass(options, base)):
        yield f"{named(cls)}.Settings is {named(options)}, which is not a subclass of airlock.{base.__name__}"
        return
    if "type" in options.model_fields:
        yield f"{named(options)} has a field `type`, which airlock.yaml needs for the name of the plugin"
    for wanted in _settings_of_generic(cls, base):
        if not issubclass(options, wanted):
            name = named(wanted)
            yield f"{named(cls)} takes {name}, but its Settings is {named(options)}: write `Settings = {name}`"
    yield from _default_faults(options)


def _settings_of_generic(cls: type, base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the settings in brackets, as in `Backend[EchoSettings]`."""
    for parent in cls.__mro__:
        for generic in vars(parent).get("__orig_bases__", ()):
            for argument in typing.get_args(generic):
                if isinstance(argument, type) and issubclass(argument, base):
                    yield argument


def _default_faults(options: type[BaseModel]) -> Iterator[str]:
    """Find defaults that an operator could not write: pydantic itself does not validate defaults."""
    try:

        class Checked(options):  # type: ignore[valid-type, misc]
            model_config = ConfigDict(validate_default=True)

        Checked.model_validate({})
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["loc"] and problem["type"] != "missing":  # without a place, it is about several fields
                place = ".".join(map(str, problem["loc"]))
                yield f"the default of {named(options)}.{place} is not valid for its own field: {problem['msg']}"
    except Exception:  # whatever a validator or default factory raises: it is reported when it is needed
        log.debug("the defaults of %s cannot be checked", named(options), exc_info=True)


def _attribute_faults(cls: Any, attributes: Mapping[str, type[bool] | frozenset[str]]) -> Iterator[str]:
    for name, expected in attributes.items():
        value = getattr(cls, name)
        label = f"{named(cls)}.{name}"
        if isinstance(expected, frozenset):
            known = ", ".join(sorted(expected))
            if not isinstance(value, AbstractSet):
                yield f"{label} must be a frozenset of names from: {known}"
            elif unknown := value - expected:
                yield f"{label} has unknown names: {', '.join(sorted(map(str, unknown)))} (known: {known})"
        elif not isinstance(value, expected):
            yield f"{label} is {value!r:.100}, and must be True or False"


def _distribution(cls: type) -> str:
    """Return the top-level package, which no two plugins share."""
    return cls.__module__.partition(".")[0]


def named(thing: object) -> str:
    """Name a class, or whatever a plugin passed instead of one."""
    return thing.__qualname__ if isinstance(thing, type) else f"{type(thing).__name__} {thing!r:.100}"
