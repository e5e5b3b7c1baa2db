"""Finds out which Python an image has, in a container that is confined like those of scripts."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airlock import BackendUnavailable

from . import hardening
from .attachment import Attachment

if TYPE_CHECKING:
    from airlock import Project

    from .engine import Engine

NOBODY: Final = 65532
TIME_LIMIT: Final = 30.0  # seconds
OLDEST_PYTHON: Final = (3, 9)
NEWER_GLIBC: Final = (2, 28)

SCRIPT: Final = """
import os, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (ValueError, OSError):
    libc = None
problem = None
try:
    import ctypes, json, select, signal, site, socket, struct
except ImportError as error:
    problem = str(error)
print('{"python": [%d, %d], "name": "%s", "machine": "%s", "libc": "%s", "problem": "%s"}'
    % (sys.version_info[0], sys.version_info[1], sys.implementation.name, os.uname()[4], libc or "", problem or ""))
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What wheels for an image have to fit: `3.11`, `x86_64-manylinux_2_28`."""

    python: str
    platform: str


async def probe(
    engine: Engine, project: Project, name: str, image: dict[str, Any], runtime: hardening.Runtime
) -> Machine:
    """Return what wheels have to fit. Raises BackendUnavailable, with the reason, for an image that is no use."""
    container = f"airlock-probe-{secrets.token_hex(8)}"
    said = bytearray()
    try:
        _, stream = await engine.launch(
            container,
            hardening.container(
                image["Id"],
                ["python3", "-I", "-S", "-c", SCRIPT],
                limits=project.limits,
                labels={"airlock.project": project.name},
                uid=NOBODY,
                runtime=runtime,
                volumes=image["Config"].get("Volumes") or (),
            ),
        )
    except BackendUnavailable as error:
        if "executable file not found" in str(error) or "no such file or directory" in str(error):
            raise _unsuitable(name, "has no python3 on its PATH") from error
        raise
    try:
        attachment = await Attachment.attach(stream, said.extend, lambda: None)
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await attachment.ended
        except TimeoutError:
            raise _unsuitable(name, f"does not get its python3 to work within {TIME_LIMIT:g} s") from None
        finally:
            attachment.close()
    finally:
        await engine.discard(container)
    return judge(name, said.decode(errors="replace"), attachment.last_words)


def judge(name: str, said: str, last_words: str) -> Machine:
    """Turn what the probe printed into what wheels have to fit. Raises BackendUnavailable when that is not possible."""
    try:
        found = json.loads(said)
    except ValueError:
        raise _unsuitable(name, f"has a python3 that does not work: {(last_words or said)[-500:]}") from None
    python = tuple(found["python"])
    if python < OLDEST_PYTHON or found["name"] != "cpython":
        raise _unsuitable(name, f"has {found['name']} {python[0]}.{python[1]}")
    if not found["libc"].startswith("glibc "):
        raise _unsuitable(name, "is not built on glibc")
    if found["problem"]:
        raise _unsuitable(name, f"has a Python without parts of the standard library ({found['problem']})")
    glibc = tuple(int(part) for part in found["libc"].removeprefix("glibc ").split(".")[:2])
    platform = "manylinux_2_28" if glibc >= NEWER_GLIBC else "manylinux2014"
    return Machine(python=f"{python[0]}.{python[1]}", platform=f"{found['machine']}-{platform}")


def _unsuitable(name: str, why: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"The image {name} {why}.", "Use one with glibc and CPython 3.9 or later as `python3`, like `python:3.13-slim`."
    )
