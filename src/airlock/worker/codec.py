"""Frames between Airlock and a worker: 4 bytes for the length, 1 byte for the kind, then JSON. Little-endian."""

from __future__ import annotations

import json
import os
import struct
from _thread import RLock
from typing import Any, Protocol

HEADER = struct.Struct("<IB")
ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

# worker -> Airlock
READY = ord("S")  # the worker is ready
LLM = ord("L")  # {"id", "prompt", "model"}
RESULT = ord("R")  # any value; the last one counts
MEMORY = ord("M")  # ["category.key", value]
END = ord("E")  # {"error": null | "one line", "exit_code": int}: the script has ended, and so will its process
# Airlock -> worker
JOB = ord("J")  # {"code", "settings", "memory", "timeout", "limits": {"prompt", "result"}}
ANSWER = ord("A")  # {"id", "answer"} or {"id", "error"}


class ConnectionLost(OSError):
    """Raised when Airlock is gone: the worker has nothing left to do."""


class Transport(Protocol):
    """The two socket methods that a channel needs."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def recv(self, size: int, /) -> bytes:
        """Receive some bytes; none means that the peer is gone."""


def encode(kind: int, value: Any) -> bytes:
    """Make one frame. Raises TypeError, ValueError or RecursionError when the value has no strict JSON form."""
    return frame(kind, ENCODER.encode(value).encode())


def frame(kind: int, body: bytes) -> bytes:
    """Make one frame from JSON text."""
    return HEADER.pack(len(body), kind) + body


class Channel:
    """The worker's end. Frames from several threads never mix; an interrupted read loses nothing."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = RLock()
        self._received = bytearray()
        self._pid = os.getpid()

    def send(self, kind: int, value: Any) -> None:
        """Send one frame. Raises RuntimeError in a child process of the script, which must not use the channel."""
        self.send_frame(encode(kind, value))

    def send_frame(self, data: bytes) -> None:
        """Send a finished frame. Raises as `send` does."""
        self.check_process()
        with self._lock:
            self._transport.sendall(data)

    def check_process(self) -> None:
        """Raise RuntimeError in a child process."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                "only the script's own process can talk to Airlock, not a child of it: use threads, or return values"
            )

    def receive(self) -> tuple[int, Any]:
        """Wait for one frame. Raises ConnectionLost when Airlock is gone."""
        while True:
            if len(self._received) >= HEADER.size:
                size, kind = HEADER.unpack_from(self._received)
                end = HEADER.size + size
                if len(self._received) >= end:
                    body = bytes(self._received[HEADER.size : end])
                    del self._received[:end]
                    return kind, json.loads(body)
            data = self._transport.recv(1 << 16)
            if not data:
                raise ConnectionLost("Airlock closed the channel")
            self._received += data
