"""A plugin for tests that need a real process under a server, but no sandbox: `backend: scripted`."""

import asyncio
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import airlock


class ScriptedSettings(airlock.BackendSettings):
    """`unavailable`: why it never starts. `start`: seconds that starting takes."""

    unavailable: str = ""
    start: float = 0


class ScriptedBackend(airlock.Backend[ScriptedSettings]):
    """Does what each line says: say, err, hex, setting, recall, remember, sleep, await, ask, result, fail."""

    type = "scripted"
    isolation = "none: for tests"
    Settings = ScriptedSettings
    _replicas = 0
    _detail: str | None = None

    async def scale(self, replicas: int) -> None:
        if replicas and self.settings.unavailable:
            raise airlock.BackendUnavailable(self.settings.unavailable, "Mend it.")
        if replicas:
            self._detail = "installing"
            await sleep(str(self.settings.start))
            self._detail = None
        self._replicas = replicas

    def pool(self) -> airlock.Pool:
        return airlock.Pool(replicas=self._replicas, idle=self._replicas, detail=self._detail)

    async def execute(self, job: airlock.Job, run: airlock.Run) -> airlock.Outcome:
        await run.started()
        result: Any = None
        updates: dict[str, Any] = {}
        for line in job.code.splitlines():
            word, _, rest = line.partition(" ")
            match word:
                case "say":
                    run.write("stdout", f"{rest}\n".encode())
                case "err":
                    run.write("stderr", f"{rest}\n".encode())
                case "hex":
                    run.write("stdout", bytes.fromhex(rest))
                case "setting":
                    run.write("stdout", f"{job.settings.get(rest)}\n".encode())
                case "recall":
                    run.write("stdout", f"{job.memory.get(rest)}\n".encode())
                case "remember":
                    key, _, value = rest.partition(" ")
                    updates[key] = json.loads(value)
                case "sleep":
                    await sleep(rest)
                case "await":  # a file
                    while not Path(rest).exists():
                        await asyncio.sleep(0.01)
                case "ask":  # questions between bars are asked at once
                    asked = (run.complete(airlock.LLMRequest(prompt=prompt)) for prompt in rest.split("|"))
                    try:
                        result, *others = await asyncio.gather(*asked)
                    except airlock.LLMError as error:
                        return airlock.Outcome(error=f"LLMError: {error}", error_type="script_error")
                    result = [result, *others] if others else result
                case "result":
                    result = json.loads(rest)
                case _:
                    return airlock.Outcome(result=result, error=rest, error_type="script_error")
        return airlock.Outcome(result=result, memory_updates=updates)


async def sleep(seconds: str) -> None:
    """Sleep in a child process, which must end even if the server is killed.

    Not one of asyncio's: its thread would log a warning about a process that has already been reaped.
    """
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "sleep", seconds]) as process:
        try:
            while process.poll() is None:
                await asyncio.sleep(0.01)
        finally:
            process.kill()


@airlock.hookimpl
def airlock_register_backends() -> Iterable[type[airlock.Backend[Any]]]:
    return [ScriptedBackend]
