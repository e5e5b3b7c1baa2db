"""Every exception that Airlock raises on purpose.

AirlockError
├── ConfigError                  airlock.yaml, or something that it names, cannot be used
├── BackendUnavailable           a backend cannot start its workers; carries the remedy
├── MakingFailed                 the `__init__` of a plugin's class fails
├── WorkerLost                   a worker died while it ran an execution
├── ProtocolViolation            a sandbox sent bytes that break the worker protocol
├── LLMError                     an LLM request is answered with an error, or will never be answered
├── StoreRefused                 a store cannot or must not be used
├── Conflict                     a stored execution has changed meanwhile, or may not change like this
├── PluginError                  a plugin breaks a contract; in `airlock.plugins`
└── RequestError                 the server refuses a request; http/problems.py turns it into problem+json
    ├── InvalidRequest       422
    ├── ExecutionNotFound    404
    ├── ProjectNotFound      404
    ├── IdempotencyKeyReused 422
    ├── NotAwaitingLLM       409
    ├── AlreadyAnswered      409
    ├── ProjectDown          409
    ├── QuotaExceeded        429
    │   ├── TooManyExecutions
    │   └── RateExceeded
    ├── QueueFull            503
    ├── ShuttingDown         503
    ├── StoreUnavailable     503
    ├── NotReady             503
    ├── ScaleFailed          503
    └── those that only HTTP raises; a tree of its own in http/errors.py

Not AirlockErrors are `LLMError`, `CannotPreload` and `ConnectionLost` of `airlock.worker`, which has only the standard
library inside a sandbox, `NoAnswer`, with which `airlock run` ends, and those of `airlock_client`, a distribution of
its own.
"""

from __future__ import annotations

from typing import ClassVar

from airlock_client import errors as client


class AirlockError(Exception):
    """Base of every exception in this module."""


class ConfigError(AirlockError):
    """Raised when airlock.yaml cannot be used. `problems` holds a line for everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BackendUnavailable(AirlockError):
    """Raised by `Backend.scale` and `PooledBackend.start_worker` when no worker can be started.

    `detail` says why in one sentence, `remedy` what the operator has to do. Operators see both unchanged.
    """

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(f"{detail} {remedy}".strip())
        self.detail = detail
        self.remedy = remedy


class MakingFailed(AirlockError):
    """Raised when the `__init__` of a backend, mediator or store fails; names the class and what it raised."""


class WorkerLost(AirlockError):
    """Raised by `Worker.run` when its worker died. Before `run.started()` the pool tries another one silently."""


class ProtocolViolation(AirlockError):
    """Raised when bytes that came out of a sandbox break the worker protocol. Ends the execution as `protocol`."""


class LLMError(AirlockError, client.LLMError):
    """Raised by `Run.complete` when the answer is an error. The script sees it as `LLMError` too."""


class Conflict(AirlockError):
    """Raised by a `Store` when the stored version is not the one that it was given."""


class StoreRefused(AirlockError):
    """Raised by `Store.open` when the store cannot or must not be used; names the remedy. The server then stops."""


class RequestError(AirlockError):
    """Base of errors that REST clients get. `status` is the HTTP status, `code` the stable name of the cause."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    retry_after: int | None = None  # seconds

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response, beyond those of every problem."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class InvalidRequest(RequestError):
    """Raised when a request is well-formed but makes no sense; `location` names the field."""

    status, code, title = 422, "invalid_request", "The request is not valid"

    def __init__(self, location: tuple[str | int, ...], message: str) -> None:
        super().__init__(f"{'.'.join(map(str, location))}: {message}")
        self.location = location
        self.message = message


class ExecutionNotFound(RequestError):
    """Raised when no execution has this id, or none has any more."""

    status, code, title = 404, "execution_not_found", "No such execution"


class ProjectNotFound(RequestError):
    """Raised when airlock.yaml does not list the project and names no `default_backend`."""

    status, code, title = 404, "project_not_found", "No such project"


class IdempotencyKeyReused(RequestError):
    """Raised when an Idempotency-Key is sent again with a different request."""

    status, code, title = 422, "idempotency_key_reused", "The Idempotency-Key belongs to another request"


class NotAwaitingLLM(RequestError):
    """Raised when an execution that awaits no LLM answer gets one."""

    status, code, title = 409, "not_awaiting_llm", "The execution is not awaiting an LLM answer"


class AlreadyAnswered(RequestError):
    """Raised when an LLM request gets a second answer that differs from the first."""

    status, code, title = 409, "already_answered", "The LLM request already has another answer"


class ProjectDown(RequestError):
    """Raised when a project accepts no executions because it was taken down or failed to start."""

    status, code, title = 409, "project_down", "The project is down"


class QuotaExceeded(RequestError):
    """Base of refusals because a key's quota is used up for now; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyExecutions(QuotaExceeded):
    """Raised when a key has as many unfinished executions as it may have."""

    status, code, title = 429, "too_many_executions", "The key has too many executions at once"


class RateExceeded(QuotaExceeded):
    """Raised when a key submits executions faster than it may."""

    status, code, title = 429, "rate_exceeded", "The key submits too fast"


class QueueFull(RequestError):
    """Raised when `limits.queue` executions of a project are already waiting."""

    status, code, title, retry_after = 503, "queue_full", "The project's queue is full", 5


class ShuttingDown(RequestError):
    """Raised for new executions while the server drains."""

    status, code, title, retry_after = 503, "shutting_down", "The server is shutting down", 10


class NotReady(RequestError):
    """Raised by `/ready`. `reasons` says for each project why it is not up, as far as the client may know."""

    status, code, title, retry_after = 503, "not_ready", "The server is not ready", 5

    def __init__(self, message: str, reasons: dict[str, str]) -> None:
        super().__init__(message)
        self.reasons = reasons


class StoreUnavailable(RequestError):
    """Raised by a store that cannot write at present, for example because the disk is full. It has changed nothing."""

    status, code, title, retry_after = 503, "store_unavailable", "The store is not available", 5


class ScaleFailed(RequestError):
    """Raised by `up` when the backend cannot start its workers."""

    status, code, title, retry_after = 503, "backend_unavailable", "The backend is not available", 30
