"""Converts nodes of YAML to plain data, and writes places in the file: `airlock.yaml:7:5: projects.p.packages[0]: ...`.

The dialect is the core schema of YAML 1.2, as editors know it: `true` and `false` are booleans; `no`, `on`, `12:30` and
dates are text; numbers are decimal. Other tags than the standard ones, and merge keys, are not allowed. In values,
`${NAME}` and `${NAME:-default}` stand for environment variables (`$${` is a plain `${`), which are always text.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Location = tuple[str | int, ...]
    Problem = tuple[tuple[int, int], Location, str]

TAG: Final = "tag:yaml.org,2002:"
MAX_DIGITS: Final = 40  # of one number

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")

_SCALARS: Final = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    "int": (re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789")),
    "float": (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), list("-+.0123456789")),
}
"""What is not text although it has no tag: its pattern, and the characters that it can start with."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml is not in every build
    """Records the positions of nodes, and decides which scalars are not text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _kind, (_pattern, _first) in _SCALARS.items():
    Loader.add_implicit_resolver(TAG + _kind, _pattern, _first)


class Converter:
    """Converts nodes to plain data, and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._environ = environ

    def convert(self, node: yaml.Node, location: Location) -> Any:
        """Convert a node. An invalid part becomes None, and is added to the problems."""
        kind = node.tag.removeprefix(TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return dict(self._items(node, location))
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.convert(item, (*location, number)) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            try:
                return self._scalar(kind, node.value)
            except ValueError as error:
                return self._report(node, location, str(error))
        return self._report(node, location, f"the tag {_tag_shown(kind)} is not allowed")

    def _items(self, node: yaml.MappingNode, location: Location) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{TAG}str":
                text = f"{shown(key.value)} is not text; put it in quotes" if isinstance(key.value, str) else "no text"
                self._report(key, location, f"a key must be text: {text}")
            elif key.value in seen:
                first = seen[key.value]
                self._report(key, (*location, key.value), f"duplicate key; it is already in line {first}")
            else:
                seen[key.value], _ = position(key.start_mark)
                yield key.value, self.convert(value, (*location, key.value))

    def _scalar(self, kind: str, text: str) -> str | int | float | bool | None:
        if kind == "str":
            return _REFERENCE.sub(self._expand, text)
        if kind not in _SCALARS:
            raise ValueError(f"the tag {_tag_shown(kind)} is not allowed")
        if len(text) > MAX_DIGITS or not _SCALARS[kind][0].match(text):
            raise ValueError(f"{shown(text)} cannot be read as {kind}")
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
        if not math.isfinite(number := float(text)):
            raise ValueError(f"{shown(text)} is too large")
        return number

    def _expand(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match["name"] is None:
            raise ValueError("write ${NAME} or ${NAME:-default}; a plain '${' is written '$${'")
        value = self._environ.get(match["name"])
        if match["default"] is not None:
            return value or match["default"]  # as in a shell, ':-' also stands in for an empty variable
        if value is None:
            raise ValueError(f"the environment variable {match['name']} is not set; ${{{match['name']}:-}} allows that")
        return value

    def _report(self, node: yaml.Node, location: Location, message: str) -> None:
        self.problems.append((position(node.start_mark), location, message))


class Mark(Protocol):
    """A mark of either PyYAML loader."""

    line: int
    column: int


def position(mark: Mark) -> tuple[int, int]:
    """Return line and column, from 1."""
    return mark.line + 1, mark.column + 1


def problem(name: str, position: tuple[int, int], location: Location, message: str) -> str:
    """Format a problem with a part of the file `name`, or with the whole file."""
    place = f"{name}:{position[0]}:{position[1]}"
    return f"{place}: {dotted(location)}: {message}" if location else f"{place}: {message}"


def dotted(location: Location) -> str:
    """Format a location as `projects.python.packages[0]`, safe to print whatever the keys are."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")


def shown(text: str) -> str:
    """Return text of the file so that it is safe to print, shortened if it is long."""
    safe = text if text.isprintable() and text else ascii(text)
    return safe if len(safe) <= 80 else f"{safe[:77]}..."


def _tag_shown(kind: str) -> str:
    return shown(kind if kind.startswith("!") else f"!!{kind}")
