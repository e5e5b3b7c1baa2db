"""Airlock's app in the measuring process. Uses only what restructuring does not move: `airlock.api` and REST."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import airlock.api

Request = Callable[..., Awaitable[Any]]  # of (method, target, body=None), as Connection.request

PATIENCE = 60.0  # seconds for a project to be up


class InProcess:
    """The app of this process, called as by a server: with the body in one piece, by a client that stays connected."""

    async def request(self, method: str, target: str, body: Any = None) -> Any:
        path, _, query = target.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        headers = {b"host": b"127.0.0.1", b"content-type": b"application/json", b"content-length": b"%d" % len(content)}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": list(headers.items()),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        unread = [{"type": "http.request", "body": content, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return unread.pop() if unread else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await airlock.api.app(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in sent)
        if sent[0]["status"] not in range(200, 300):
            raise RuntimeError(f"{method} {target}: {answer.decode()}")
        return json.loads(answer)


@contextlib.contextmanager
def configuration(text: str) -> Iterator[None]:
    """Use `text` as the airlock.yaml of this process and of those that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "airlock.yaml")
        path.write_text(text)
        os.environ["AIRLOCK_CONFIG"] = str(path)
        os.environ.pop("AIRLOCK_API_KEY", None)
        yield


@contextlib.asynccontextmanager
async def in_process() -> AsyncIterator[Request]:
    app = airlock.api.app
    async with app.router.lifespan_context(app):
        request = InProcess().request
        await until_ready(request)
        yield request


async def until_ready(request: Request) -> None:
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            await request("GET", "/ready")
        except (OSError, RuntimeError) as not_yet:
            if time.monotonic() > give_up:
                raise RuntimeError(f"the project is not up after {PATIENCE:.0f} s: {not_yet}") from not_yet
            await asyncio.sleep(0.05)
        else:
            return
