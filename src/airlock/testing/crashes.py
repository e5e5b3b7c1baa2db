"""A real server on a real store file, killed at random moments under load: nothing that it accepted may be lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from .servers import HANG, served

RECENT: Final = 50  # ids that are checked after each start
TERMINAL: Final = ("completed", "error", "timeout")
CONFIG: Final = """
store: {{type: sqlite, path: crashes.db}}
projects:
  p:
    backend: {backend}
    replicas: 2
    limits: {{shutdown_grace: 0, queue: 20000, max_paused: 500}}
"""


class Process(NamedTuple):
    """A process, identified even if its pid is used again."""

    pid: int
    started: str


class Crashes:
    """Kills servers, and records what they accepted.

        crashes = Crashes(tmp_path, "{type: local}", ["print(1)", "import time; time.sleep(0.05)", "llm.complete('?')"])
        crashes.kill(rounds=200, within=1.0)
        assert set(crashes.finish()) <= {None, "interrupted"}

    `finish` answers LLM requests.
    """

    def __init__(
        self, folder: Path, backend: str, codes: Sequence[str], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """`backend` is its entry in airlock.yaml; `environ` is added to the environment of the servers."""
        (folder / "airlock.yaml").write_text(CONFIG.format(backend=backend))
        self._folder = folder
        self._codes = codes
        self._environ = environ
        self._chance = random.Random(5)  # noqa: S311 - repeatable
        self._processes: set[Process] = set()
        self.accepted: list[str] = []

    def kill(
        self, rounds: int, within: float, pause: float = 0, before_kill: Callable[[], object] = lambda: None
    ) -> None:
        """Start a server `rounds` times, submit scripts with pauses of `pause` seconds, and kill it within `within`.

        Raises AssertionError if a server does not know an accepted id.
        """
        for _ in range(rounds):
            with served(self._folder, self._environ) as (server, client):
                give_up = time.monotonic() + self._chance.uniform(0.02, within)
                for execution_id in self.accepted[-RECENT:]:
                    assert client.get(f"/executions/{execution_id}").status_code == 200, execution_id
                while time.monotonic() < give_up:
                    code = self._chance.choice(self._codes)
                    answer = client.post("/execute", json={"project": "p", "code": code})
                    assert answer.status_code == 202, answer.text
                    self.accepted.append(answer.json()["execution_id"])
                    time.sleep(pause)
                before_kill()
                self._processes |= _below(server.pid)

    def finish(self) -> Counter[str | None]:
        """Let a last server finish all executions, then stop it; returns how many have each `error_type`.

        Raises AssertionError if an execution is lost or stuck, or if a process of a server still runs.
        """
        found: Counter[str | None] = Counter()
        with served(self._folder, self._environ) as (server, client):
            for execution_id in self.accepted:
                found[self._ended(client, execution_id)] += 1
            self._processes |= _below(server.pid)
            server.terminate()
            assert server.wait(HANG) == 0
        give_up = time.monotonic() + HANG
        while left := {each for each in self._processes if _started(each.pid) == each.started}:
            assert time.monotonic() < give_up, left
            time.sleep(0.01)
        return found

    def _ended(self, client: httpx.Client, execution_id: str) -> str | None:
        path = f"/executions/{execution_id}"
        give_up = time.monotonic() + HANG
        while time.monotonic() < give_up:
            answer = client.get(path, params={"wait": 10})
            assert answer.status_code == 200, answer.text
            if answer.json()["status"] in TERMINAL:
                error_type: str | None = answer.json()["error_type"]
                return error_type
            if answer.json()["status"] == "awaiting_llm":
                client.post(f"{path}/respond", json={"response": "x"})
        raise AssertionError(f"{path} is stuck: {answer.text}")


def _below(pid: int) -> set[Process]:
    """Return all descendants of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    found = {Process(int(child), started) for child in children if (started := _started(int(child)))}
    return found.union(*(_below(child.pid) for child in found))


def _started(pid: int) -> str:
    """Return when a process was started, in clock ticks; "" if it has ended."""
    try:
        state, *more = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else more[18]
