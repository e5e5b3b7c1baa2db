"""Who answers the LLM requests of `airlock run`: the person at the terminal, an echo, or a command."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from airlock.models import LLMRequest

from .terminal import err, fail, say

Answer = Callable[[LLMRequest], Awaitable[str]]

HELP: Final = "Who answers LLM requests: 'ask' (you), 'echo' (the prompt itself), or a command that reads the prompt."


class NoAnswer(Exception):
    """Raised when an LLM request cannot be answered; the run ends with this exit code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


def answer_by(llm: str | None, *, stdin_is_script: bool) -> Answer:
    """Choose who answers, or end the command when the choice cannot be used."""
    if llm is None:
        return Asker() if sys.stdin.isatty() and not stdin_is_script else refuse
    if llm == "ask":
        if stdin_is_script:
            fail("--llm ask: answers are read from stdin, but stdin is the script", code=2)
        return Asker()
    if llm == "echo":
        return echo
    try:
        command = shlex.split(llm)
    except ValueError as error:
        fail(f"--llm {llm}: {error}", code=2)
    if not command or shutil.which(command[0]) is None:
        fail(f"--llm {llm}: must be 'ask', 'echo' or a command; no such command: {' '.join(command[:1])!r}", code=2)
    return Command(command)


def show(request: LLMRequest) -> None:
    """Show an LLM request, whoever answers it."""
    say(f"awaiting_llm (model {request.model}):", "bold")
    say(request.prompt)


async def refuse(request: LLMRequest) -> str:
    """Say how to choose who answers."""
    reason = "the script asks an LLM, but there is no terminal to answer at; choose with --llm ask, echo or COMMAND"
    raise NoAnswer(reason, code=2)


async def echo(request: LLMRequest) -> str:
    """Answer with the prompt."""
    show(request)
    return request.prompt


class Asker:
    """Shows the prompt and reads one line from stdin."""

    def __init__(self) -> None:
        self._read_ahead = b""

    async def __call__(self, request: LLMRequest) -> str:
        """Ask, and wait for a line."""
        show(request)
        err.print("answer> ", end="")
        while b"\n" not in self._read_ahead:
            await _until_readable()
            piece = os.read(0, 65536)
            if not piece:
                err.print()
                raise NoAnswer("stdin ended before the LLM request was answered", code=1)
            self._read_ahead += piece
        line, _, self._read_ahead = self._read_ahead.partition(b"\n")
        return line.decode(errors="replace")


class Command:
    """Starts a command for each request: its stdin is the prompt, its stdout the answer, its stderr ours."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    async def __call__(self, request: LLMRequest) -> str:
        """Run the command to its end; cancelling kills it."""
        show(request)
        # A file, not a pipe: a command may end without reading it, which asyncio in Python 3.11.2 logs as an error.
        with tempfile.TemporaryFile() as prompt:
            prompt.write(request.prompt.encode())
            prompt.seek(0)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=prompt, stdout=asyncio.subprocess.PIPE
                )
            except OSError as error:
                reason = f"the LLM command {self._command[0]} cannot be started: {error.strerror}"
                raise NoAnswer(reason, code=1) from None
        try:
            answer, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(
                        process.pid, signal.SIGKILL
                    )  # `process.kill` may take the exit code from asyncio, which then warns
                await process.wait()
        if process.returncode:
            raise NoAnswer(f"the LLM command {shlex.join(self._command)} failed ({_exit(process.returncode)})", code=1)
        return answer.decode(errors="replace").removesuffix("\n")


def _exit(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"


async def _until_readable() -> None:
    """Wait for stdin without a thread, which could not be stopped, and without O_NONBLOCK, which would outlast us."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(0, readable.set)
    except PermissionError:  # a regular file: always readable
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(0)
