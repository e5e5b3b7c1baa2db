"""JSON from untrusted sources: refuses what Python's parser accepts and other parsers do not."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 100
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(raw: bytes | bytearray) -> Any:
    """Parse one JSON document in UTF-8.

    Raises ValueError, with a message for the sender, on anything that is not strict JSON: NaN and infinities (also as
    1e400), lone surrogates, duplicate keys, nesting deeper than `MAX_DEPTH`, integers of more than 4300 digits.
    """
    try:
        value = json.loads(
            raw.decode(), parse_constant=_constant, parse_float=_finite, object_pairs_hook=_without_duplicates
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _SURROGATE.search(raw):
        try:
            dumps(value)
        except UnicodeEncodeError:
            raise ValueError("lone surrogates are not text") from None
    return value


def dumps(value: object) -> bytes:
    """Write compact JSON in UTF-8.

    Raises TypeError, ValueError or RecursionError if the value has no strict JSON form.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} does not fit a number")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has the same key twice")
    return made


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = (item for item in level if isinstance(item, (list, dict)))
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
