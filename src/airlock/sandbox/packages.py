"""Installs a project's packages into a directory, outside every sandbox: only wheels, so none of their code runs here.

For backends that run Python; they depend on `uv`, core does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from typing import TYPE_CHECKING, Final

from airlock.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airlock.backends import Project

log = logging.getLogger(__name__)

SAID: Final = 1500  # characters of uv's message that an operator is shown
# What uv reads. The rest may hold keys and secrets, which are not for the list of processes.
_ENVIRONMENT: Final = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|XDG_.*|UV_.*|NETRC|SSL_CERT_.*|SSL_CLIENT_CERT"
    "|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|RUST_LOG"
)
# How a command of a package names its interpreter; a long path takes the shell (`ScriptMaker` of distlib).
_SHEBANG: Final = re.compile(rb"\A#!(?:/bin/sh\n'''exec' [^\n]+\n' '''|[^\n]*python[^\n]*)\n")
_OF_THE_NETWORK: Final = re.compile("UV_OFFLINE|(HTTPS?|ALL)_PROXY|(https?|all)_proxy")

# By what uv says, the first that is found; tests/sandbox/test_packages.py makes these failures.
_REMEDIES: Final = {
    "No space left on device|[Qq]uota exceeded": (
        "Free space there (`df -h` and `df -i` show what is full), or set XDG_CACHE_HOME, and UV_CACHE_DIR for what uv "
        "downloads, to a folder with room."
    ),
    "certificate": (
        "The certificate of the package index, or of a proxy in between, is not trusted here: set SSL_CERT_FILE to the "
        "file with your authority's certificate, or UV_SYSTEM_CERTS=1 to trust what this machine trusts; an expired "
        "one may also mean that this machine's clock is wrong."
    ),
    "no usable wheels|building from source is disabled|no wheels with a matching": (
        "Only wheels are installed, nothing is built: take a version that has one for this Python, or put one that you "
        "built into an index of your own (UV_DEFAULT_INDEX)."
    ),
    "network was disabled|credentials|Failed to fetch|sending request|dns error|tunnel error|timed out|proxy": (
        "The package index does not answer as it should: look at the network, the firewall and the name servers in "
        "/etc/resolv.conf, and at the index's address and credentials "
        "(UV_DEFAULT_INDEX=https://NAME:PASSWORD@HOST/...); behind a proxy set "
        "HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT. {variables} Airlock tries again."
    ),
    "not found in the package registry|no versions? of": (
        "Correct the name or the version in `packages`, or set UV_DEFAULT_INDEX to an index that has it."
    ),
}
_OTHER: Final = "Correct what uv names there, or `packages`; only wheels are installed, nothing is built."


async def install_packages(project: Project, target: Path, *options: str) -> None:
    """Install into this directory, readable for every user. `options` tell uv which interpreter it is for.

    With the option `--compile-bytecode` that interpreter must run here. A file that does not compile stays without.

    Raises BackendUnavailable when that fails: no such package, no wheel for that interpreter, no network, no disk.
    """
    from uv import find_uv_bin  # noqa: PLC0415 - looks for the program at import

    log.info("project %s: installing %s", project.name, ", ".join(project.packages))
    try:
        uv = find_uv_bin()
    except FileNotFoundError as error:
        raise BackendUnavailable(
            "The program uv, which installs packages, is missing.", "Run `pip install --force-reinstall uv`."
        ) from error
    command = [uv, "pip", "install", "--no-progress", "--color=never", "--only-binary=:all:"]
    command += [f"--target={target}", *options, "--", *project.packages]
    said = await _run(project, command)
    if said is not None:
        raise BackendUnavailable(
            f"The packages of project {project.name} cannot be installed: {_short(said)}", _remedy(said, os.environ)
        )
    await asyncio.to_thread(_prepare, target)


async def _run(project: Project, command: list[str]) -> str | None:
    """Run uv with its lines going to the log; returns None, or what it said if it failed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # Bytecode stays valid where the times of files change, as in a copy: PEP 552.
        env={name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
        | {"PYC_INVALIDATION_MODE": "CHECKED_HASH"},
    )
    assert process.stderr is not None
    lines = []
    try:
        async for line in process.stderr:
            lines.append(line.decode(errors="replace").strip())
            log.info("project %s: uv: %s", project.name, lines[-1])
        failed = await process.wait() != 0
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    return "\n".join(lines) if failed else None


def _short(said: str) -> str:
    """Leave out the progress before the error, and how uv lists its causes."""
    text = re.split("(?m)^error: ", said)[-1].replace("\ncause: ", "; ")
    text = " ".join(text.split())
    return text[-SAID:].rstrip(".") + "."


def _remedy(said: str, environ: Mapping[str, str]) -> str:
    """Say what to do about what uv said. Names variables, never their values: a proxy's may have a password."""
    remedy = next((remedy for pattern, remedy in _REMEDIES.items() if re.search(pattern, said)), _OTHER)
    names = ", ".join(name for name in sorted(environ) if environ[name] and _OF_THE_NETWORK.fullmatch(name))
    return remedy.format(variables=f"Set here: {names}." if names else "No proxy variable is set here.")


def _prepare(target: Path) -> None:
    """Scripts run as somebody else, whatever the server's umask is, and with another interpreter than uv's."""
    for command in target.glob("bin/*"):
        if command.is_file() and not command.is_symlink():
            text = command.read_bytes()
            if (changed := _SHEBANG.sub(b"#!/usr/bin/env python3\n", text, count=1)) != text:
                command.write_bytes(changed)
            command.chmod(0o755)
    target.chmod(0o755)
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
