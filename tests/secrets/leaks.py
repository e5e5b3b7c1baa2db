"""Secrets, the usual forms in which they leave, and ways to read them from a text."""

import base64
import html
import json
import quopri
import re
import urllib.parse
from collections.abc import Callable

from hypothesis import strategies as st

from airlock.secrets.redaction import MARK

SECRET = "p+/ä\"s\\w'or&d =1"

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "reversed": lambda s: s[::-1],
    "hex": lambda s: s.encode().hex(),
    "upper hex": lambda s: s.encode().hex().upper(),
    "quote": urllib.parse.quote,
    "quote everything": lambda s: urllib.parse.quote(s, safe=""),
    "quote_plus": urllib.parse.quote_plus,
    "lower quote": lambda s: re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(s, safe="")),
    "percent": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "json": lambda s: json.dumps({"k": s}),
    "json utf-8": lambda s: json.dumps({"k": s}, ensure_ascii=False),
    "json in json": lambda s: json.dumps(json.dumps({"k": s})),
    "repr": lambda s: repr([s]),
    "repr in a text with both quotes": lambda s: repr(f"'\"{s}"),
    "bytes": lambda s: repr(s.encode()),
    "html": html.escape,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 without padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64 of more": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "base64 of even more": lambda s: base64.b64encode(f"users:{s}:".encode()).decode(),
    "base64 amid": lambda s: base64.b64encode(f"admins:{s}::".encode()).decode(),
    "base64 of json": lambda s: base64.b64encode(json.dumps({"k": s}).encode()).decode(),
    "json for html": lambda s: json.dumps(s).replace("&", r"\u0026").replace("'", r"\u0027"),
    "json for html, upper": lambda s: (
        json.dumps(s).replace("+", r"\u002B").replace("&", r"\u0026").replace("'", r"\u0027").replace(r"\"", r"\u0022")
    ),
    "html, decimal": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html, hex": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "html, quotes as numbers": lambda s: html.escape(s).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "html in ascii": lambda s: html.escape(s).encode("ascii", "xmlcharrefreplace").decode(),
    "quoted-printable": lambda s: quopri.encodestring(s.encode()).decode(),
    "utf-16 hex": lambda s: s.encode("utf-16-le").hex(),
    "utf-16 big endian hex": lambda s: s.encode("utf-16-be").hex().upper(),
    "utf-16 base64": lambda s: base64.b64encode(f"u:{s};".encode("utf-16-le")).decode(),
    "utf-16 big endian base64": lambda s: base64.b64encode(f"u{s};".encode("utf-16-be")).decode(),
    "urlsafe": lambda s: base64.urlsafe_b64encode(f"u:{s}".encode()).decode(),
}


def leaks(secret: str, text: str) -> list[str]:
    """Ways to read a secret from a text: by decoding the text instead of searching it for encoded secrets."""
    wanted = secret.encode()
    found = [name for name, form in (("plain", secret), ("reversed", secret[::-1])) if form in text]
    found += [name for name, form in (("json", json.dumps(secret)), ("repr", repr(secret))) if form[1:-1] in text]
    if wanted in urllib.parse.unquote_to_bytes(text) or wanted in urllib.parse.unquote_to_bytes(text.replace("+", " ")):
        found.append("percent")
    for run in re.findall("[0-9a-f]+|[0-9A-F]+", text):
        if any(wanted in bytes.fromhex(run[at : len(run) - (len(run) - at) % 2]) for at in (0, 1)):
            found.append("hex")
    for run in re.findall("[A-Za-z0-9+/]+", text.translate({ord("-"): "+", ord("_"): "/"})):
        for at in range(4):
            part = run[at:]
            if wanted in base64.b64decode(part + "A" * (-len(part) % 4)):
                found.append("base64")
    return found


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufffd[]")
secrets = st.lists(
    st.one_of(
        st.text(letters, min_size=8, max_size=40),
        st.text("ab", min_size=8, max_size=12),
        st.text("0123456789", min_size=8),
    ).filter(lambda text: len(text.strip().encode()) >= 8 and not MARK.count(text)),
    min_size=1,
    max_size=4,
)
