"""A lean HTTP client with one keep-alive connection, so that benchmarks measure Airlock and not the client."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

IDLE = 4.0  # seconds; the server closes a connection after 5 idle seconds


class Connection:
    def __init__(self, port: int, key: str = "") -> None:
        self._port = port
        self._authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        if self._streams is None or time.monotonic() - self._used > IDLE:
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n"
        writer.write((head + self._authorization + "Content-Type: application/json\r\n\r\n").encode() + content)
        status_and_headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(status_and_headers.split("content-length: ")[1].split("\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        self._used = time.monotonic()
        if " 20" not in status_and_headers.split("\r\n")[0]:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
