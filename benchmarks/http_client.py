"""A lean HTTP client: one keep-alive connection, so that what is measured is Airlock and not the client."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n"
        self._writer.write((head + "Content-Type: application/json\r\n\r\n").encode() + content)
        status_and_headers = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(status_and_headers.split("content-length: ")[1].split("\r\n")[0])
        answer = json.loads(await self._reader.readexactly(length))
        if " 20" not in status_and_headers.split("\r\n")[0]:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def close(self) -> None:
        self._writer.close()
