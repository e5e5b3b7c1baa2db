"""A real server whose store lies on a disk that is really full."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import RunningServer

Serve = Callable[..., RunningServer]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full"),
]

PATIENCE = 30.0  # seconds; only a guard against hanging


class SmallDisk:
    """A disk of 1 MB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = (
            f"store: {{type: sqlite, path: {path}/s.db}}\n"
            "projects: {p: {backend: scripted, limits: {shutdown_grace: 1}}}\n"
        )

    def fill(self) -> None:
        """Leave no free space on the disk; `exhaust` uses up what the store's own files still have."""
        with (self.path / "filler").open("ab", buffering=0) as file:
            try:
                while file.write(b"x" * 4096) == 4096:
                    pass
            except OSError:
                pass

    def free(self) -> None:
        """Free the space again."""
        (self.path / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield SmallDisk(path)
    subprocess.run(["umount", "--lazy", path], check=True)


def submit(client: httpx.Client, code: str) -> str:
    answer = client.post("/execute", json={"project": "p", "code": code})
    assert answer.status_code == 202, answer.text
    return f"/executions/{answer.json()['execution_id']}"


def poll(client: httpx.Client, url: str, status: str) -> dict[str, Any]:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        answer: dict[str, Any] = client.get(url, params={"wait": 1}).json()
        if answer["status"] == status:
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


def exhaust(client: httpx.Client) -> None:
    """Use up the free space in the store's own files."""
    for _ in range(300):
        if client.post("/execute", json={"project": "p", "code": f"say {'x' * 300}"}).status_code == 503:
            return
    raise AssertionError("the disk is not full")


def test_cancel_and_respond_are_answered_while_nothing_can_be_stored(serve: Serve, disk: SmallDisk) -> None:
    server = serve(disk.config)
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        poll(client, paused := submit(client, "ask what?"), "awaiting_llm")
        poll(client, over := submit(client, "sleep 3"), "running")
        pending = submit(client, "sleep 3")
        disk.fill()
        exhaust(client)
        for url, action, body in (
            (over, "cancel", None),
            (pending, "cancel", None),
            (paused, "respond", {"response": "this", "request_id": 1}),
            (paused, "cancel", None),
        ):
            answer = client.post(f"{url}/{action}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), (url, action)
            assert answer.headers["retry-after"]
        began = time.monotonic()
        answer = client.post(f"{pending}/respond", json={"response": "this"})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_awaiting_llm")
        assert time.monotonic() - began < 2
        assert client.get(pending).json()["status"] == "pending"
        disk.free()
        for url in (over, pending, paused):
            assert poll(client, url, "error")["error_type"] == "cancelled"
            assert client.post(f"{url}/cancel").status_code == 200
    assert "the backend has not ended it" not in "".join(server.printed)


def test_server_ends_while_nothing_can_be_stored(serve: Serve, disk: SmallDisk) -> None:
    server = serve(disk.config)
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        poll(client, running := submit(client, "sleep 4"), "running")
        pending = submit(client, "say it once")
        disk.fill()
        exhaust(client)
        server.line_with(f"execution {pending.rpartition('/')[2]}: the store is unavailable")  # it is about to start
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(client.get, running, params={"wait": 30})
            server.process.send_signal(signal.SIGTERM)
            assert waiting.result().json()["status"] == "running"
        assert server.ended() == 0
    told = "".join(server.printed)
    assert "its end could not be stored before the server ended" in told
    assert "Traceback" not in told
    assert "Exception" not in told
    assert "could not be closed" not in told
    disk.free()
    with httpx.Client(base_url=serve(disk.config).url) as client:
        assert client.get(running).json()["error_type"] == "interrupted"
        assert poll(client, pending, "completed")["stdout"] == "it once\n"


def test_start_that_cannot_store_what_a_crash_interrupted_is_refused_in_a_sentence(
    serve: Serve, disk: SmallDisk
) -> None:
    first = serve(disk.config)
    with httpx.Client(base_url=first.url) as client:
        poll(client, paused := submit(client, "ask what?"), "awaiting_llm")
    first.process.kill()
    first.ended()
    disk.fill()
    second = serve(disk.config)
    assert second.ended() == 1
    told = "".join(second.printed)
    assert "error: airlock.yaml:1:1: store: the executions that the last server was running cannot be marked" in told
    assert "full" in told
    assert "Traceback" not in told
    disk.free()
    third = serve(disk.config)
    with httpx.Client(base_url=third.url) as client:
        assert client.get(paused).json()["error_type"] == "interrupted"
    assert "error_type=interrupted" in third.line_with("execution finished")
