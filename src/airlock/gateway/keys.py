"""API keys: how one is made, and which client sent it. Airlock keeps hashes only, so a key is shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from airlock.plugins import Client

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airlock.config import KeySection

PREFIX: Final = "airlock_"  # by which people, and scanners of repositories, know it for what it is


class KeyRing:
    """The keys that a server accepts."""

    def __init__(self, clients: Mapping[bytes, Client]) -> None:
        """`clients` are by the SHA-256 of their key."""
        self._clients = clients

    @classmethod
    def of(cls, sections: Iterable[KeySection], operator_key: str | None) -> KeyRing:
        """Take the keys of airlock.yaml, and the one that may do everything."""
        clients = {
            bytes.fromhex(key.sha256): Client(key.name, None if key.projects is None else frozenset(key.projects))
            for key in sections
        }
        if operator_key is not None:
            clients[_digest(operator_key)] = Client()
        return cls(clients)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._clients)

    def client(self, key: str) -> Client | None:
        """Return whose key this is, or None. How long that takes says nothing about the keys."""
        given = _digest(key)
        found = None
        for digest, client in self._clients.items():
            if hmac.compare_digest(digest, given):
                found = client
        return found


def new_key() -> str:
    """Make a key nobody can guess: 256 random bits, so that a plain hash protects it."""
    return PREFIX + secrets.token_urlsafe(32)


def sha256(key: str) -> str:
    """Return what airlock.yaml holds of a key."""
    return _digest(key).hex()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
