"""What an execution has for itself and gives back when it is dead, as numbers that mean something in its box."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

UIDS: Final = 1024  # how many, when the server is root; more executions at once than that share some


class Identity(NamedTuple):
    """One execution's."""

    uid_offset: int  # from the zygote's own uid; 0 where the server is an ordinary user, who has no other to give
    network: int  # which of the box's network namespaces; 0 is the zygote's own, and nobody's


class Identities:
    """Those of one box."""

    def __init__(self, *, has_uids: bool) -> None:
        # What was used longest ago comes first: descriptors in flight count against a uid until the kernel finds them.
        self._free_uids = deque(range(1, UIDS) if has_uids else [])
        self._default_uid = UIDS - 1 if has_uids else 0
        self._free_networks: list[int] = []
        self._networks = 0

    def take(self) -> Identity:
        """Return one that nobody has, as long as there are enough uids."""
        if not self._free_networks:
            self._networks += 1
            self._free_networks.append(self._networks)
        uid = self._free_uids.popleft() if self._free_uids else self._default_uid
        return Identity(uid, self._free_networks.pop())

    def give_back(self, identity: Identity) -> None:
        """Say that no process has it any more."""
        if identity.uid_offset:
            self._free_uids.append(identity.uid_offset)
        self._free_networks.append(identity.network)
