"""How long the gateway and its runs wait: for backends, for the store, and for clients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """All in seconds. Unlike a project's limits, these are not configurable: only tests change them.

    `soon` is for a backend that runs no code: the next poll then finds its answer, even where each request has its own
    event loop.
    """

    soon: float = 0.5
    kill: float = 2.0  # for a backend to kill what it runs
    cancel: float = 30.0  # for a cancelled execution to end before its client gets an answer; longer than `kill`
    change: float = 2.0  # for a client's change to wait for an earlier one, or for the end that refuses it
    store_first_retry: float = 0.1  # before a write to the store is retried
    store_last_retry: float = 5.0
    sweep: float = 60.0  # between sweeps for executions to forget
    scale: float = 30.0  # for `up` and `down` to wait for workers before they answer with the current state
    scale_first_retry: float = 5.0  # after a failed start
    scale_last_retry: float = 300.0
    ending: float = 5.0  # for executions to end at shutdown, and again when the store is late
    closing: float = 10.0  # for backends to release everything at shutdown
