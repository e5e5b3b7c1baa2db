r"""How log lines look: plain for people, JSON for programs. Whatever a record contains, it stays on its own line.

Scripts and clients choose some of what is logged. Control characters, line breaks and characters that change the
direction of text are shown as escapes, and each line of a traceback starts with four spaces and a bar, so that nothing
they send looks like a line from Airlock. This holds for the records of uvicorn, plugins and libraries, too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from .handler import to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Format = Literal["auto", "plain", "json"]

_BARE: Final = re.compile(r"[A-Za-z0-9._:/@+-]+")


class _Formatter(logging.Formatter):
    """`redact` takes secrets out of a text before anything in it is escaped."""

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        super().__init__()
        self._redact = redact

    def _message(self, record: logging.LogRecord) -> str:
        return self._redact(record.getMessage())

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        return {
            name: value if isinstance(value, (int, float)) else self._redact(str(value))
            for name, value in fields.items()
        }

    def _traceback(self, record: logging.LogRecord) -> str:
        return self._redact(self.formatException(record.exc_info)) if record.exc_info else ""


class PlainFormatter(_Formatter):
    """`2026-11-24 15:04:05 INFO    execution finished execution_id=... status=completed`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, followed by others only for a traceback."""
        time = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        fields = self._fields(record)
        if getattr(record, "text", ""):  # which includes the other fields
            fields = {name: value for name, value in fields.items() if name == "request_id"}
        message, traceback = self._message(record), self._traceback(record)
        if record.name == "uvicorn.error":  # whose messages may be whole tracebacks, as of a lifespan that failed
            message, _, more = message.partition("\n")
            traceback = f"{more}{traceback}"
        shown = [escaped(message), *(f"{name}={_value(value)}" for name, value in fields.items())]
        lines = traceback.rstrip("\n").split("\n") if traceback else ()
        return "\n".join(
            [f"{time} {record.levelname:7} {' '.join(shown)}", *(f"    | {escaped(line)}" for line in lines)]
        )


class JsonFormatter(_Formatter):
    """One object per line: `time` in UTC, `level`, `logger`, `message`; `event` and its fields; `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        event = getattr(record, "event", "")
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
            **({"event": event} if event else {}),
            **self._fields(record),
        }
        if record.exc_info:
            line["exception"] = self._traceback(record)
        return json.dumps(line)


def configure(
    style: Format = "auto",
    level: int = logging.INFO,
    keep: Callable[[logging.LogRecord], bool] = lambda _: True,
    redact: Callable[[str], str] = str,
) -> None:
    """Log to stderr: `auto` is plain at a terminal and JSON elsewhere. Records that are not to be kept are dropped.

    `redact` takes secrets out of what is logged.
    """
    handler = to_stderr()
    handler.addFilter(keep)
    handler.setFormatter((JsonFormatter if is_json(style) else PlainFormatter)(redact))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its other lines say what Airlock's own say


def is_json(style: Format) -> bool:
    """Return whether lines are JSON."""
    return style == "json" or (style == "auto" and not sys.stderr.isatty())


def escaped(text: str) -> str:
    r"""Show what is not printable as an escape, as in `\n` or `\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _value(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else escaped(json.dumps(text, ensure_ascii=False))
