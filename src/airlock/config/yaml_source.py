"""YAML from a file that may be hostile, with the position of every part. See `yaml_values` for the dialect."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from airlock.errors import ConfigError

from . import yaml_values
from .yaml_values import TAG, Converter, Loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from .yaml_values import Location, Mark, Problem

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 50
MAX_NODES: Final = 10_000  # keys, values, lists and mappings, with aliases expanded

_UNPRINTABLE: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class YamlSource:
    """The content of a YAML file: `data` in plain dicts, lists and scalars, and the position of each part.

    `problems` concern single keys and values: their position, their location and what is wrong. `data` leaves out such
    a key, and has None for such a value.
    """

    def __init__(
        self, name: str, data: dict[str, Any], root: yaml.Node | None, problems: Sequence[Problem] = ()
    ) -> None:
        self.name = name
        self.data = data
        self.problems = problems
        self._root = root

    def position(self, location: Location) -> tuple[int, int]:
        """Return line and column, from 1, of a key or list item, or of the nearest part around it if it is missing."""
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
        return yaml_values.position(mark) if mark is not None else (1, 1)

    def has(self, location: Location) -> bool:
        """Return whether the file contains this part. The file as a whole has no place of its own."""
        found: Any = self.data
        for part in location:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return bool(location)

    def told(self, others: Iterable[tuple[Location, str]]) -> list[str]:
        """Format its own problems and others, in the order of the file, without those that only follow from its own."""
        missing = [location for _, location, _ in self.problems if self._is_none(location)]
        found = [
            (self.position(location), location, message)
            for location, message in others
            if not any(location[: len(gap)] == gap or location == gap[:-1] for gap in missing)
        ]
        ordered = sorted([*self.problems, *found], key=lambda problem: problem[0])
        return [yaml_values.problem(self.name, *problem) for problem in ordered]

    def _is_none(self, location: Location) -> bool:
        found: Any = self.data
        for part in location:
            found = found[part]
        return found is None

    def problem(self, location: Location, message: str) -> str:
        """Format a problem: `airlock.yaml:7:5: projects.python: message`."""
        return yaml_values.problem(self.name, self.position(location), location, message)


def read(path: Path, environ: Mapping[str, str] = os.environ) -> YamlSource:
    """Read a file; an empty one is an empty mapping. Raises ConfigError if it is not YAML, or exceeds the bounds."""
    name = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device may never end, a FIFO may never start
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
        raise ConfigError([f"{_after(name, before)}: not UTF-8"]) from None
    return parse(text, name, environ)


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ) -> YamlSource:
    """Parse text; errors call the file `name`. Raises ConfigError if it is not YAML, or exceeds the bounds."""
    if unprintable := _UNPRINTABLE.search(text):
        raise ConfigError([f"{_after(name, text[: unprintable.start()])}: a control character, {unprintable[0]!a}"])
    try:
        _check_size(text, name)
        root = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        is_tab = error.problem_mark is not None and _character_at(text, error.problem_mark) == "\t"
        problem = "this line is indented with a tab; use spaces" if is_tab else _told(error)
        _refuse(name, error.problem_mark, f"not YAML: {problem}")
    if root is None or root.tag == f"{TAG}null":
        return YamlSource(name, {}, None)
    if not isinstance(root, yaml.MappingNode):
        _refuse(name, root.start_mark, "must be a mapping (key: value) at the top")
    converter = Converter(environ)
    data = converter.convert(root, ())
    return YamlSource(name, data, root, converter.problems)


def _check_size(text: str, name: str) -> None:
    """Refuse what would take long or overflow the stack, before nodes are created."""
    nodes = documents = 0
    starts: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(name, event.start_mark, "a second document; only one is allowed")
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in starts):
                _refuse(name, event.start_mark, "an alias to a value that contains it")
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


def _after(name: str, before: str) -> str:
    """Return the place that follows the text `before`."""
    return f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _refuse(name: str, mark: Mark | None, message: str) -> NoReturn:
    if mark is None:
        raise ConfigError([f"{name}: {message}"])
    raise ConfigError([yaml_values.problem(name, yaml_values.position(mark), (), message)])


def _told(error: yaml.MarkedYAMLError) -> str:
    begun = error.context_mark
    if begun is None or begun.line == getattr(error.problem_mark, "line", None):
        return str(error.problem)
    return f"{error.problem} {error.context}, which starts in line {begun.line + 1}"


def _character_at(text: str, mark: Mark) -> str:
    lines = text.split("\n")
    return lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
