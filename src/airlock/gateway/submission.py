"""Checks of an execution request beyond those of its model, and whether the same request came before."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from airlock import strict_json
from airlock.errors import IdempotencyKeyReused, InvalidRequest

if TYPE_CHECKING:
    from airlock.executions import Execution
    from airlock.models import ExecutionRequest

DEFAULT_TIMEOUT: Final = 60  # seconds; the request model's default, for projects that allow that much


def timeout_of(request: ExecutionRequest, most: int) -> int:
    """Return the timeout in seconds. Raises InvalidRequest when it exceeds `most`, the project's limit."""
    if "timeout" not in request.model_fields_set:
        return min(DEFAULT_TIMEOUT, most)
    if request.timeout > most:
        raise InvalidRequest(("body", "timeout"), f"at most {most} seconds (limits.timeout of {request.project})")
    return request.timeout


def check_memory_keys(request: ExecutionRequest) -> None:
    """Raise InvalidRequest for a key of `memory` that a script could not read."""
    for key in request.memory:
        if not all(key.partition(".")):
            raise InvalidRequest(("body", "memory", key), "a memory key is 'category.key'")


def digest_of(request: ExecutionRequest) -> str:
    """Return a digest that identifies the request, for its Idempotency-Key."""
    return hashlib.sha256(strict_json.dumps(request.model_dump())).hexdigest()


def check_same(known: Execution, digest: str) -> Execution:
    """Return the execution that the same request created. Raises IdempotencyKeyReused when that request differed."""
    if known.request_digest != digest:
        raise IdempotencyKeyReused(f"a different request already created execution {known.id} with this key")
    return known
