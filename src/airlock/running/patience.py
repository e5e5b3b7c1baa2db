"""How long the gateway and its runs wait: for backends, for the store, and for clients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """All in seconds. Operators set the limits of a project; these belong to the server, and only tests change them.

    `soon` is for a backend that runs no code: the next poll then finds its answer, also where each request has an event
    loop of its own.
    """

    soon: float = 0.5
    kill: float = 2.0  # that a backend gets to kill what it runs
    cancel: float = 30.0  # that a client waits for the end of what it cancelled; longer than a kill
    change: float = 2.0  # that a client waits for a change before its own
    store_first_retry: float = 0.1  # until the store is asked again
    store_last_retry: float = 5.0
    sweep: float = 60.0  # between looks for executions to forget
    scale: float = 30.0  # that `up` and `down` wait for workers before they answer with the state as it is
    scale_first_retry: float = 5.0  # after a start that failed
    scale_last_retry: float = 300.0
    ending: float = 5.0  # that executions get to be gone at shutdown, and once more when the store is late
    closing: float = 10.0  # that backends get to give everything back, at shutdown
