"""Redacts secrets in everything that leaves a sandbox, even when it arrives in pieces."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from ahocorasick_rs import BytesAhoCorasick, Implementation

from airlock import strict_json
from airlock.models import LLMRequest

from .forms import MIN_BYTES, forms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MARK: Final = "[redacted]"
_BATCH: Final = 64 << 10  # bytes of output to search at once, unless they are read earlier
_MARK: Final = MARK.encode()
_SMALL: Final = 10 ** (MIN_BYTES - 1)  # a smaller number has too few digits to be a secret


class Redactor:
    """Replaces secrets, in all their forms, with `[redacted]`. Without secrets it changes nothing, and costs nothing.

    Secrets that overlap become one mark.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = sorted(set().union(*map(forms_of, secrets)))
        self._longest = max(map(len, forms), default=0)
        self._search = _automaton(forms) if forms else None
        # To see whether a text ends in the beginning of a form: forms by their first bytes, and the shorter beginnings.
        by_head: dict[bytes, list[bytes]] = defaultdict(list)
        for form in forms:
            by_head[form[:MIN_BYTES]].append(form)
        self._groups = [sorted(group, key=len, reverse=True) for group in by_head.values()]
        self._heads = _automaton(by_head) if forms else None
        self._beginnings = {head[:size] for head in by_head for size in range(1, MIN_BYTES)}
        self._bytes = frozenset(b"".join(forms))

    def stream(self) -> RedactingStream | None:
        """Return a redactor for bytes that come in pieces; None without secrets."""
        return RedactingStream(self) if self._search is not None else None

    def text(self, text: str, *, is_cut: bool = False) -> str:
        """Redact a text. `is_cut`: its end is missing, so a last part that may begin a secret is dropped."""
        data = text.encode("utf-8", "surrogatepass")
        spans = self.spans(data)
        keep = self.may_begin(data) if is_cut else len(data)
        if keep == len(data) and not spans:
            return text
        return _marked(data[:keep], spans, 0)[0].decode("utf-8", "surrogatepass")

    def request(self, request: LLMRequest) -> LLMRequest:
        """Redact a script's LLM request."""
        if self._search is None:
            return request
        return LLMRequest(prompt=self.text(request.prompt), model=self.text(request.model))

    def value(self, value: Any) -> Any:
        """Redact a JSON value: texts, keys, and numbers whose digits are a secret, which become text.

        Keys that would become equal get a number, except the first: `[redacted] (2)`.
        """
        written = self._written_if_in(value)
        return value if written is None else self._redacted(json.loads(written))

    def memory(self, updates: Mapping[str, Any]) -> Mapping[str, Any]:
        """Redact memory updates. A key stays `category.key`."""
        written = self._written_if_in(dict(updates))
        if written is None:
            return updates
        keys = _renamed(updates, self._memory_key)
        return {key: self._redacted(value) for key, value in zip(keys, json.loads(written).values(), strict=True)}

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return the start and end of every form of a secret, sorted by start. They may overlap."""
        if self._search is None:
            return []
        return sorted((start, end) for _, start, end in self._search.find_matches_as_indexes(data, overlapping=True))

    def may_begin(self, data: bytes) -> int:
        """Return where the longest tail that may begin a secret starts; the length of the data if there is none."""
        if self._heads is None or not data or data[-1] not in self._bytes:
            return len(data)
        first = max(0, len(data) - self._longest + 1)
        tail = data[first:]
        for group, start, _ in self._heads.find_matches_as_indexes(tail, overlapping=True):
            size = len(tail) - start
            for form in self._groups[group]:
                if len(form) <= size:
                    break
                if form.startswith(tail[start:]):
                    return first + start
        for size in range(min(MIN_BYTES - 1, len(tail)), 0, -1):
            if tail[-size:] in self._beginnings:
                return len(data) - size
        return len(data)

    def _written_if_in(self, value: Any) -> bytes | None:
        """Return a value as JSON if it contains a secret: searching the whole is much faster than each part."""
        if self._search is None:
            return None
        written = strict_json.dumps(value)
        return written if self._search.find_matches_as_indexes(written) else None

    def _redacted(self, value: Any) -> Any:
        if value is None or (isinstance(value, int) and -_SMALL < value < _SMALL):  # most of a large value is small
            return value
        if isinstance(value, str):
            return value if len(value) < MIN_BYTES and value.isascii() else self.text(value)
        if isinstance(value, list):
            return [self._redacted(item) for item in value]
        if isinstance(value, dict):
            keys = _renamed(value, self.text)
            return {key: self._redacted(item) for key, item in zip(keys, value.values(), strict=True)}
        shown = self.text(written := json.dumps(value))
        return value if shown == written else shown

    def _memory_key(self, key: str) -> str:
        shown = self.text(key)
        return f"{MARK}.{MARK}" if "." in key and "." not in shown else shown


class RedactingStream:
    """Bytes in, redacted bytes out. Holds back only an end that may begin a secret; output is never changed later.

    The output does not depend on how the input is split. Small pieces are gathered and searched together.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._gathered: list[bytes] = []
        self._size = 0
        self._held = b""
        self._covered = 0  # bytes of `_held` that belong to a mark already in the output

    def write(self, data: bytes) -> bool:
        """Add bytes; returns whether it is time to `read`."""
        self._gathered.append(bytes(data))  # a copy: it is searched later, and its owner may change it
        self._size += len(data)
        return self._size >= _BATCH

    def read(self) -> bytes:
        """Return everything that can no longer become part of a secret."""
        if not self._size:
            return b""
        data = self._take()
        return self._release(data, self._redactor.may_begin(data))

    def finish(self) -> bytes:
        """Return the rest, at the end of the input."""
        data = self._take()
        return self._release(data, len(data))

    def _take(self) -> bytes:
        data = b"".join((self._held, *self._gathered))
        self._gathered.clear()
        self._size = 0
        return data

    def _release(self, data: bytes, keep: int) -> bytes:
        """Redact the data up to `keep`, and hold the rest. A secret that starts before `keep` ends within the data."""
        shown, covered = _marked(data[:keep], self._redactor.spans(data), self._covered)
        self._held = data[keep:]
        self._covered = max(0, covered - keep)
        return shown


def _marked(data: bytes, spans: list[tuple[int, int]], covered: int) -> tuple[bytes, int]:
    """Replace the spans that start in the data with marks, one for those that overlap; they may end after the data.

    The first `covered` bytes already have their mark. Also returns where the last span ends.
    """
    pieces: list[bytes] = []
    for start, end in spans:
        if start >= len(data):
            break
        if start >= covered:
            pieces += (data[covered:start], _MARK)
        covered = max(covered, end)
    pieces.append(data[covered:])
    return b"".join(pieces), covered


def _automaton(patterns: Iterable[bytes]) -> BytesAhoCorasick:
    """Build a search for the patterns. A DFA would be faster, but long patterns make it huge and slow to build."""
    return BytesAhoCorasick(patterns, implementation=Implementation.ContiguousNFA)


def _renamed(old: Iterable[str], rename: Callable[[str], str]) -> list[str]:
    """Rename keys so that they stay distinct; keys that need no new name keep theirs."""
    pairs = [(key, rename(key)) for key in old]
    taken = {key for key, new in pairs if new == key}
    count: Counter[str] = Counter()
    names = []
    for key, new in pairs:
        name = new
        while new != key and name in taken:
            count[new] += 1
            name = f"{new} ({count[new] + 1})"
        taken.add(name)
        names.append(name)
    return names
