"""The examples of the OpenAPI document, by the names of their models.

They are not on the models: the client imports those too and needs no examples, and pydantic would sort their keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXECUTION_ID: Final = "6f1c2b9e-3d0a-4a57-9a54-0d5b8f3c7e21"
_CREATED: Final = "2026-11-24T15:04:05.120000Z"
_STARTED: Final = "2026-11-24T15:04:05.121000Z"
_FINISHED: Final = "2026-11-24T15:04:05.164000Z"

_LLM_REQUEST: Final[dict[str, Any]] = {
    "prompt": "How many?",
    "model": "default",
    "id": 1,
    "created_at": _STARTED,
    "expires_at": "2026-11-24T15:14:05.121000Z",
}
_LISTED_EXECUTION: Final[dict[str, Any]] = {
    "execution_id": EXECUTION_ID,
    "project": "mock-project",
    "status": "completed",
    "created_at": _CREATED,
    "started_at": _STARTED,
    "finished_at": _FINISHED,
    "error_type": None,
    "exit_code": 0,
    "version": 2,
}
_PROJECT_INFO: Final[dict[str, Any]] = {
    "name": "mock-project",
    "description": "A mock project for testing",
    "status": "up",
    "replicas": 1,
    "idle_workers": 1,
    "packages": ["requests", "pandas"],
    "backend": "mock",
    "detail": None,
    "isolation": "runs no code",
    "cpus": None,
    "queued": 0,
    "running": 0,
    "paused": 0,
}
_FIELD_PROBLEM: Final[dict[str, Any]] = {"location": "body.project", "message": "Field required"}

EXAMPLES: Final[Mapping[str, Sequence[Any]]] = {
    "ExecutionRequest": [
        {"project": "mock-project", "code": "print('hello')"},
        {
            "project": "mock-project",
            "code": "set_result(memory.get('reports', 'count', 0) + 1)",
            "timeout": 30,
            "settings": {"REPORT": "weekly"},
            "memory": {"reports.count": 6},
        },
    ],
    "LLMResponse": [
        {"response": "42"},
        {"request_id": 1, "response": "42"},
        {"request_id": 1, "error": "the model refused"},
        {"responses": [{"request_id": 1, "response": "42"}, {"request_id": 2, "response": "43"}]},
    ],
    "LLMAnswer": [{"request_id": 1, "response": "42"}],
    "PoolRequest": [{"replicas": 2}],
    "ExecutionCreated": [{"execution_id": EXECUTION_ID, "status": "pending"}],
    "OpenLLMRequest": [_LLM_REQUEST],
    "ExecutionResult": [
        {
            "execution_id": EXECUTION_ID,
            "status": "completed",
            "result": {"total": 42},
            "stdout": "hello\n",
            "stderr": "",
            "error": None,
            "llm_request": None,
            "llm_requests": [],
            "memory_updates": {"reports.count": 7},
            "execution_time_ms": 43,
            "error_type": None,
            "exit_code": 0,
            "truncated": False,
            "version": 2,
            "project": "mock-project",
            "created_at": _CREATED,
            "started_at": _STARTED,
            "finished_at": _FINISHED,
            "queued_ms": 1,
            "run_ms": 43,
            "llm_wait_ms": 0,
        },
        {
            "execution_id": EXECUTION_ID,
            "status": "awaiting_llm",
            "result": None,
            "stdout": "hello\n",
            "stderr": "",
            "error": None,
            "llm_request": _LLM_REQUEST,
            "llm_requests": [_LLM_REQUEST],
            "memory_updates": {},
            "execution_time_ms": 12,
            "error_type": None,
            "exit_code": None,
            "truncated": False,
            "version": 2,
            "project": "mock-project",
            "created_at": _CREATED,
            "started_at": _STARTED,
            "finished_at": None,
            "queued_ms": 1,
            "run_ms": 12,
            "llm_wait_ms": 800,
        },
    ],
    "ListedExecution": [_LISTED_EXECUTION],
    "ExecutionList": [{"executions": [_LISTED_EXECUTION], "next_cursor": None}],
    "ProjectInfo": [_PROJECT_INFO],
    "ProjectList": [{"projects": [_PROJECT_INFO]}],
    "PoolStatus": [{"name": "mock-project", "status": "up", "replicas": 2}],
    "FieldProblem": [_FIELD_PROBLEM],
    "Problem": [
        {
            "type": "about:blank",
            "title": "The request is not valid",
            "status": 422,
            "detail": "body.project: Field required",
            "code": "invalid_request",
            "request_id": "0b5c2f4e9a1d4c7f8e3b6a5d2c1f0e9d",
            "errors": [_FIELD_PROBLEM],
        }
    ],
    "ExecutionStatus": ["completed"],
    "HealthResponse": [{"status": "ok"}],
    "ReadyResponse": [{"status": "ready"}],
}
