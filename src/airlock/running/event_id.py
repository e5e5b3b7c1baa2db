"""Where a reader of an execution's events is: the `id` of an event, which comes back as `Last-Event-ID`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from airlock.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

_ID: Final = re.compile(r"([0-9a-f]{8})\.(?:end|(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15}))", re.ASCII)


class EventId(NamedTuple):
    """What a reader has. It says nothing of the server's memory, so it holds over restarts.

    The status of `version`; the LLM requests that were asked until the version `asked`; so many characters of `stdout`
    and of `stderr`; and everything when it `is_end`.
    """

    version: int = -1
    asked: int = 0
    stdout: int = 0
    stderr: int = 0
    is_end: bool = False

    @classmethod
    def parse(cls, text: str, execution_id: str, location: Sequence[str]) -> EventId:
        """Read what `text_for` wrote; nothing means the beginning. Raises InvalidRequest.

        The standard leaves it to the server what to do with an id that it never sent. Ignored, it would send everything
        again to a client that believes to have it already.
        """
        if not text:
            return cls()
        found = _ID.fullmatch(text)
        if found is None:
            raise InvalidRequest(tuple(location), "not the id of an event; leave it out to begin at the beginning")
        if found[1] != _tag(execution_id):
            raise InvalidRequest(tuple(location), "the id of an event of another execution")
        if found[2] is None:
            return cls(is_end=True)
        version, asked, stdout, stderr = map(int, found.groups()[1:])
        return cls(version, asked, stdout, stderr)

    def text_for(self, execution_id: str) -> str:
        """Return the `id` of an event after which a reader has this much."""
        place = "end" if self.is_end else ".".join(map(str, self[:-1]))
        return f"{_tag(execution_id)}.{place}"


def _tag(execution_id: str) -> str:
    return execution_id[:8]
