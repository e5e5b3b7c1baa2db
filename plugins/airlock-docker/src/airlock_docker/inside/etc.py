"""Runs once while an image is built: adds to its /etc what that lacks of the files in `files.json`. Changes none."""

from __future__ import annotations

import json
import os

LISTS = ("/etc/passwd", "/etc/group")  # name:password:number:...


def main() -> None:
    """Add the files, and to lists the numbers that they lack."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "files.json"), encoding="utf-8") as file:
        files = json.load(file)
    if os.path.lexists("/etc/localtime"):
        del files["/etc/timezone"]  # which would have to say the same
    for path, text in files.items():
        if path in LISTS:
            extend(path, text.splitlines(keepends=True))
        elif not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "x", encoding="utf-8") as new:
                new.write(text)


def extend(path: str, lines: list[str]) -> None:
    """Append those whose number is not there."""
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        there = file.read()
        numbers = {line.split(":")[2] for line in there.splitlines() if line.count(":") > 1}
        added = [line for line in lines if line.split(":")[2] not in numbers]
        file.write("".join(["\n" * (there[-1:] not in ("", "\n")), *added]))


if __name__ == "__main__":
    main()
