r"""How log lines look: plain for people, JSON for programs. Whatever stands in a record, it stays on its own line.

Scripts and clients choose some of what is logged. Control characters, line breaks and characters that turn the
direction of text are shown as escapes, and each line of a traceback begins with four spaces and a bar, so that nothing
they send looks like a line of Airlock's.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from . import handler as log_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Format = Literal["auto", "plain", "json"]

_BARE: Final = re.compile(r"[A-Za-z0-9._:/@+-]+")


class _Formatter(logging.Formatter):
    """`redact` takes secrets out of a text, before anything in it is escaped."""

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
    """`2026-11-24 15:04:05 INFO    execution finished execution_id=... status=completed`, with local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Make a line, and more of them only for a traceback."""
        seconds = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        fields = self._fields(record)
        if getattr(record, "text", ""):  # it says the others
            fields = {name: value for name, value in fields.items() if name == "request_id"}
        message, traceback = self._message(record), self._traceback(record)
        if record.name == "uvicorn.error":  # its messages may be whole tracebacks: of a lifespan that failed
            message, _, more = message.partition("\n")
            traceback = f"{more}{traceback}"
        shown = [escaped(message), *(f"{name}={_value(value)}" for name, value in fields.items())]
        quoted = map(_quoted, traceback.rstrip("\n").split("\n")) if traceback else ()
        return "\n".join([f"{seconds} {record.levelname:7} {' '.join(shown)}", *quoted])


class JsonFormatter(_Formatter):
    """One object per line: `time` in UTC, `level`, `logger`, `message`; `event` and its fields; `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Make a line."""
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
    """Log to stderr: `auto` is plain on a terminal and JSON elsewhere. Drop what is not to `keep`.

    `redact` takes secrets out of what is logged.
    """
    handler = log_handler.to_stderr()
    handler.addFilter(keep)
    handler.setFormatter((JsonFormatter if is_json(style) else PlainFormatter)(redact))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it only speaks up when something is wrong


def is_json(style: Format) -> bool:
    """Whether lines are JSON."""
    return style == "json" or (style == "auto" and not sys.stderr.isatty())


def escaped(text: str) -> str:
    r"""Show what is not printable as an escape, as in `\n` or `\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _value(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else escaped(json.dumps(text, ensure_ascii=False))


def _quoted(line: str) -> str:
    return f"    | {escaped(line)}"
