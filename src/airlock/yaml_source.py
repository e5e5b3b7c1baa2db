"""YAML from a file that may be hostile, with the position of everything in it.

The dialect is the core schema of YAML 1.2, as editors know it: `true` and `false` are booleans, `no`, `on`, `12:30` and
dates are text, numbers are decimal. No tags beyond the standard ones, no merge keys. `${NAME}` and `${NAME:-default}`
stand for environment variables in values (`$${` is a plain `${`); what they stand for is always text.
"""

from __future__ import annotations

import math
import os
import re
import stat
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Protocol

import yaml

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Location = tuple[str | int, ...]
    Problem = tuple[tuple[int, int], Location, str]

    class _Mark(Protocol):
        """A mark of either PyYAML loader."""

        line: int
        column: int


MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 50
MAX_DIGITS: Final = 40  # of one number
MAX_NODES: Final = 10_000  # keys, values, lists and mappings, with aliases expanded

_TAG: Final = "tag:yaml.org,2002:"
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")
_UNPRINTABLE: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_SCALARS: Final = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    "int": (re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789")),
    "float": (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), list("-+.0123456789")),
}
"""What is not text though it has no tag: its pattern, and the characters that it can begin with."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml is not in every build
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _kind, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _kind, _pattern, _first)


class YamlSource:
    """What a YAML file says: `data` in plain dicts, lists and scalars, and where each part of it stands.

    `problems` are with single keys and values: their position, their location and what is wrong. `data` leaves out such
    a key, and such a value is None there.
    """

    def __init__(
        self, name: str, data: dict[str, Any], root: yaml.Node | None, problems: Sequence[Problem] = ()
    ) -> None:
        self.name = name
        self.data = data
        self.problems = problems
        self._root = root

    def position(self, location: Location) -> tuple[int, int]:
        """Return line and column, from 1, of a key or list item; of the nearest part around it when it is not there."""
        node, mark = self._root, None
        for part in location:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == part), None)
                if found is None:
                    break
                mark, node = found[0].start_mark, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
            else:
                break
        return _position(mark) if mark is not None else (1, 1)

    def has(self, location: Location) -> bool:
        """Whether this part is written; the whole has no place of its own."""
        found: Any = self.data
        for part in location:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return bool(location)

    def told(self, others: Iterable[tuple[Location, str]]) -> list[str]:
        """Write its own problems and others, in the order of the file, but none that only follows from its own."""
        missing = [location for _, location, _ in self.problems if self._is_none(location)]
        found = [
            (self.position(location), location, message)
            for location, message in others
            if not any(location[: len(gap)] == gap or location == gap[:-1] for gap in missing)
        ]
        ordered = sorted([*self.problems, *found], key=lambda problem: problem[0])
        return [_line(self.name, *problem) for problem in ordered]

    def _is_none(self, location: Location) -> bool:
        found: Any = self.data
        for part in location:
            found = found[part]
        return found is None

    def problem(self, location: Location, message: str) -> str:
        """Write a problem the way it is shown: `airlock.yaml:7:5: projects.python: message`."""
        return _line(self.name, self.position(location), location, message)


def dotted(location: Location) -> str:
    """Write a location as `projects.python.packages[0]`, safe to print whatever the keys are."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}"
    return text.removeprefix(".")


def read(path: Path, environ: Mapping[str, str] = os.environ) -> YamlSource:
    """Read a file. An empty one is an empty mapping. Raises ConfigError when it is no YAML that can be looked at."""
    name = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device may never end, a FIFO never begin
            raise ConfigError([f"{name}: not a regular file"])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{name}: cannot be read: {error.strerror}"]) from error
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{name}: larger than {MAX_BYTES} bytes"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        raise ConfigError([f"{_place(name, before)}: not UTF-8"]) from None
    return parse(text, name, environ)


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ) -> YamlSource:
    """Parse text; `name` stands for the file in errors. Raises ConfigError when it is no YAML that can be looked at."""
    if unprintable := _UNPRINTABLE.search(text):
        raise ConfigError([f"{_place(name, text[: unprintable.start()])}: a control character, {unprintable[0]!a}"])
    try:
        _check_size(text, name)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        is_tab = error.problem_mark is not None and _character_at(text, error.problem_mark) == "\t"
        problem = "a tab indents this line, and only spaces may" if is_tab else _told(error)
        _refuse(name, error.problem_mark, f"not YAML: {problem}")
    if root is None or root.tag == f"{_TAG}null":
        return YamlSource(name, {}, None)
    if not isinstance(root, yaml.MappingNode):
        _refuse(name, root.start_mark, "must be a mapping (key: value) at the top")
    converter = _Converter(environ)
    data = converter.convert(root, ())
    return YamlSource(name, data, root, converter.problems)


def _check_size(text: str, name: str) -> None:
    """Refuse what would take long or overflow the stack, before nodes are made of it."""
    nodes = documents = 0
    starts: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(name, event.start_mark, "a second document; only one is allowed")
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in starts):
                _refuse(name, event.start_mark, "an alias to what it stands in")
            nodes += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            starts.append((event.anchor, nodes))
            nodes += 1
            if len(starts) > MAX_DEPTH:
                _refuse(name, event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = starts.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > MAX_NODES:
            _refuse(name, event.start_mark, f"more than {MAX_NODES} keys and values, with aliases expanded")


class _Converter:
    """Makes plain data of nodes, and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._environ = environ

    def convert(self, node: yaml.Node, location: Location) -> Any:
        """Convert a node. What is wrong becomes None, with a problem."""
        kind = node.tag.removeprefix(_TAG)
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
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                text = f"{_shown(key.value)} is not text; put it in quotes" if isinstance(key.value, str) else "no text"
                self._report(key, location, f"a key must be text: {text}")
            elif key.value in seen:
                first = seen[key.value]
                self._report(key, (*location, key.value), f"duplicate key; it stands in line {first} already")
            else:
                seen[key.value], _ = _position(key.start_mark)
                yield key.value, self.convert(value, (*location, key.value))

    def _scalar(self, kind: str, text: str) -> str | int | float | bool | None:
        if kind == "str":
            return _REFERENCE.sub(self._expand, text)
        if kind not in _SCALARS:
            raise ValueError(f"the tag {_tag_shown(kind)} is not allowed")
        if len(text) > MAX_DIGITS or not _SCALARS[kind][0].match(text):
            raise ValueError(f"{_shown(text)} cannot be read as {kind}")
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
        if not math.isfinite(number := float(text)):
            raise ValueError(f"{_shown(text)} is too large")
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
        self.problems.append((_position(node.start_mark), location, message))


def _refuse(name: str, mark: _Mark | None, message: str) -> NoReturn:
    raise ConfigError([_line(name, _position(mark), (), message) if mark is not None else f"{name}: {message}"])


def _told(error: yaml.MarkedYAMLError) -> str:
    begun = error.context_mark
    if begun is None or begun.line == getattr(error.problem_mark, "line", None):
        return str(error.problem)
    return f"{error.problem} {error.context}, which begins in line {begun.line + 1}"


def _character_at(text: str, mark: _Mark) -> str:
    lines = text.split("\n")
    return lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""


def _position(mark: _Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _line(name: str, position: tuple[int, int], location: Location, message: str) -> str:
    place = f"{name}:{position[0]}:{position[1]}"
    return f"{place}: {dotted(location)}: {message}" if location else f"{place}: {message}"


def _place(name: str, before: str) -> str:
    """Name the place that follows the text `before`."""
    return f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _shown(text: str) -> str:
    shown = text if text.isprintable() and text else ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _tag_shown(kind: str) -> str:
    return _shown(kind if kind.startswith("!") else f"!!{kind}")
