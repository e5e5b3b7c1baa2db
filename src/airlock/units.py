"""Sizes and times as written in airlock.yaml: `512MiB`, and seconds without a unit."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

UNITS: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


_MEANT: Final = {
    **{f"{letter}{rest}": f"{letter.upper()}iB" for letter in "kmg" for rest in ("", "i", "ib")},
    "b": "B",
    "kb": "kB",
    "mb": "MB",
    "gb": "GB",
}
_SECONDS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def parse_size(value: object) -> object:
    """Turn `512MiB` into bytes. Whole numbers already are bytes.

    Raises ValueError when the text is not a whole number with one of the known units.
    """
    if not isinstance(value, str):
        return value
    digits = value.strip().rstrip("BKMGik ")
    unit = value.strip()[len(digits) :].strip()
    if not digits.isdecimal() or unit not in UNITS:
        number, unit = _number_and_unit(value)
        if unit in _MEANT:  # not guessed: to Docker, 512M is 512 * 1024 * 1024, to Kubernetes, 512 * 1000 * 1000
            raise ValueError(f"not a size; write {number}{_MEANT[unit]}")
        raise ValueError(f"not a size; write a whole number with one of {', '.join(u for u in UNITS if u)}")
    return int(digits) * UNITS[unit]


def refuse_units(value: object) -> object:
    """Accept numbers of seconds. Raises ValueError for `5m`, with the number to write instead."""
    if isinstance(value, str):
        number, unit = _number_and_unit(value)
        if unit in _SECONDS:
            raise ValueError(f"times are seconds, without a unit; write {int(number) * _SECONDS[unit]}")
    return value


def _number_and_unit(text: str) -> tuple[str, str]:
    """Split `5 m`; returns two empty texts for anything else, so that no secret is shown."""
    found = re.fullmatch(r"\s*([0-9]{1,12})\s*([A-Za-z]{1,3})\s*", text)
    return (found[1], found[2].lower()) if found else ("", "")


def format_size(size: int) -> str:
    """Format bytes as in airlock.yaml: `512MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return f"{size}B"


Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str)]
Seconds = Annotated[float, BeforeValidator(refuse_units)]
WholeSeconds = Annotated[int, BeforeValidator(refuse_units)]
