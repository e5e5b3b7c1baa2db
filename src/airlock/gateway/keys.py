"""API keys: how they are made, and which client a key belongs to. Airlock keeps only hashes, so it shows a key once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from airlock.plugins import Client

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airlock.config import KeySection

PREFIX: Final = "airlock_"  # lets people and secret scanners recognise a key


class KeyRing:
    """The keys that a server accepts."""

    def __init__(self, clients: Mapping[bytes, Client]) -> None:
        """`clients` maps the SHA-256 of each key to its client."""
        self._clients = clients

    @classmethod
    def of(cls, sections: Iterable[KeySection], operator_key: str | None) -> KeyRing:
        """Make the ring of the keys in airlock.yaml and the operator's key, which may do everything."""
        clients = {
            bytes.fromhex(key.sha256): Client(key.name, None if key.projects is None else frozenset(key.projects))
            for key in sections
        }
        if operator_key is not None:
            clients[_digest(operator_key)] = Client()
        return cls(clients)

    def __bool__(self) -> bool:
        """Whether there are any keys."""
        return bool(self._clients)

    def client(self, key: str) -> Client | None:
        """Return the client of a key, or None. The time that this takes reveals nothing about the keys."""
        given = _digest(key)
        found = None
        for digest, client in self._clients.items():
            if hmac.compare_digest(digest, given):
                found = client
        return found


def new_key() -> str:
    """Make a key of 256 random bits: nobody can guess it, so a plain hash protects it."""
    return PREFIX + secrets.token_urlsafe(32)


def sha256(key: str) -> str:
    """Return the hash of a key, as airlock.yaml has it."""
    return _digest(key).hex()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
