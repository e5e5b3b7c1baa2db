"""The forms that a secret is recognised by: itself, and the usual encodings of it."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_BYTES: Final = 8  # anything shorter occurs in most output by chance
_WRAPPED: Final = (76, 64)  # characters per line of base64: MIME and `base64`, PEM and `openssl`
_SPECIAL: Final = ("[<>&]", "[<>&']", "[\"&'+<>`]")  # what Go, Python's web frameworks and .NET escape in JSON for HTML
_UNTOUCHED: Final = ("", "/", "!'()*", "!#$&'()*+,/:;=?@")  # what quote, encodeURIComponent and encodeURI leave alone


def forms_of(secret: str) -> set[bytes]:
    """Return every form of a secret, in UTF-8, that must not be shown; none is shorter than `MIN_BYTES`.

    Output often contains a single line of a multi-line secret, so each line that is long enough is a secret too.
    """
    found: set[str] = set()
    for part in {secret, secret.strip(), *map(str.strip, secret.splitlines())}:
        if len(part.encode()) >= MIN_BYTES:
            for text in _quoted(part):
                found.update(_encoded(text))
            found.update(_wrapped(part.encode()))
            found.update(_spelled(part))
    found |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in found}  # inside a JSON text that is shown
    return {form for text in found if len(form := text.encode()) >= MIN_BYTES}


def _quoted(text: str) -> set[str]:
    """Return the text as it appears between quotes, in JSON, in Python's `repr`, and in HTML."""
    in_json = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    in_python = {repr(text)[1:-1], ascii(text)[1:-1], repr(text.encode())[2:-1]}
    return {
        text,
        *in_json,
        *(written.replace("/", "\\/") for written in in_json),
        *(form for written in in_json for form in _json_for_html(written)),
        *in_python,
        *(re.sub(r"(?<!\\)'", r"\\'", written) for written in in_python),
        html.escape(text),
        html.escape(text, quote=False),
        html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        *(html.escape(text, quote=quoted).encode("ascii", "xmlcharrefreplace").decode() for quoted in (True, False)),
    }


def _json_for_html(written: str) -> Iterator[str]:
    """Yield JSON as in a script element, where characters that are special in HTML are written as numbers."""
    for special in _SPECIAL:
        escaped = written.replace('\\"', '"') if '"' in special else written
        for number in ("04x", "04X"):
            yield re.sub(special, lambda found, number=number: f"\\u{ord(found[0]):{number}}", escaped)


def _spelled(text: str) -> Iterator[str]:
    """Yield the text with each character as a number in HTML, in quoted-printable, and in UTF-16."""
    for reference in ("&#{};", "&#x{:x};", "&#x{:X};"):
        yield "".join(reference.format(ord(character)) for character in text)
    # binascii.b2a_qp breaks lines, and escapes whitespace at their ends.
    yield "".join(
        chr(byte) if (32 <= byte < 127 and byte != ord("=")) or byte == ord("\t") else f"={byte:02X}"
        for byte in text.encode()
    )
    for codec in ("utf-16-le", "utf-16-be"):
        wide = text.encode(codec)
        yield from _of_bytes(wide)
        if text.isascii():
            yield wide.decode("ascii")


def _encoded(text: str) -> Iterator[str]:
    data = text.encode()
    yield text
    yield text[::-1]
    yield from _of_bytes(data)
    for written in ("".join(f"%{byte:02X}" for byte in data), quote_plus(text), *(quote(text, t) for t in _UNTOUCHED)):
        yield written
        yield re.sub("%..", lambda code: code[0].lower(), written)


def _of_bytes(data: bytes) -> Iterator[str]:
    """Yield bytes in hex, and in base64 at every offset."""
    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        for written in _base64(data, before):
            yield written
            yield written.translate({ord("+"): "-", ord("/"): "_"})


def _base64(data: bytes, before: int) -> Iterator[str]:
    """Yield what base64 shows of the data after `before` bytes (modulo 3), with or without more bytes after it.

    Characters that also depend on the neighbouring bytes are left out.
    """
    padded = base64.b64encode(bytes(before) + data).decode()[(0, 2, 3)[before] :]
    alone = padded.rstrip("=")
    yield padded
    yield alone
    yield alone[: len(alone) - (padded != alone)]


def _wrapped(data: bytes) -> Iterator[str]:
    written = base64.b64encode(data).decode()
    for width in _WRAPPED:
        yield from (written[at : at + width] for at in range(0, len(written), width) if len(written) > width)
