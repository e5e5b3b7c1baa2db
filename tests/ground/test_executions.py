"""The record of an execution, and the bytes that clients get."""

from dataclasses import replace

from airlock.executions import Execution, OpenRequest
from airlock.models import ExecutionResult, ExecutionStatus, ListedExecution, LLMRequest, OpenLLMRequest, StatusEvent

QUESTION = OpenRequest(
    id=2,
    request=LLMRequest(prompt="wh\u00e4t?", model="m"),
    created_at=1767225600.25,
    expires_at=1767225900.0,
    version=3,
)
PAUSED = Execution(
    id="0123",
    project="p",
    client="alice",
    code="secret code",
    timeout=60,
    settings={"token": "secret"},
    idempotency_key="key",
    request_digest="digest",
    status=ExecutionStatus.awaiting_llm,
    version=4,
    created_at=1767225599.9999995,  # rounds to a whole second
    started_at=1767225600.000001,
    llm_requests=(QUESTION, replace(QUESTION, id=3)),
    answered={"1": "digest"},
    stdout="so far\n",
    queued_ms=1,
    run_ms=2,
    llm_wait_ms=3,
)
FINISHED = Execution(
    id="4567",
    project="q",
    code="x",
    timeout=1,
    status=ExecutionStatus.error,
    version=1,
    created_at=0.0,
    finished_at=1234567890.123456,
    result={"a": [1.5, None]},
    stderr="\u2028",
    truncated=True,
    error="it failed",
    error_type="internal",
    memory_updates={"k": {"n": True}},
)
ASKED = (
    '{"prompt":"wh\u00e4t?","model":"m","id":%d,'
    '"created_at":"2026-01-01T00:00:00.250000Z","expires_at":"2026-01-01T00:05:00Z"}'
)


def test_a_poll_shows_these_bytes() -> None:
    assert ExecutionResult.model_validate(PAUSED).model_dump_json() == (
        '{"execution_id":"0123","status":"awaiting_llm","result":null,"stdout":"so far\\n","stderr":"","error":null,'
        f'"llm_request":{ASKED % 2},"llm_requests":[{ASKED % 2},{ASKED % 3}],'
        '"memory_updates":{},"execution_time_ms":2,"error_type":null,"exit_code":null,"truncated":false,"version":4,"project":"p",'
        '"created_at":"2026-01-01T00:00:00Z","started_at":"2026-01-01T00:00:00.000001Z","finished_at":null,'
        '"queued_ms":1,"run_ms":2,"llm_wait_ms":3}'
    )
    assert ExecutionResult.model_validate(FINISHED).model_dump_json() == (
        '{"execution_id":"4567","status":"error","result":{"a":[1.5,null]},"stdout":"","stderr":"\u2028",'
        '"error":"it failed","llm_request":null,"llm_requests":[],"memory_updates":{"k":{"n":true}},'
        '"execution_time_ms":null,"error_type":"internal","exit_code":null,"truncated":true,"version":1,"project":"q",'
        '"created_at":"1970-01-01T00:00:00Z","started_at":null,"finished_at":"2009-02-13T23:31:30.123456Z",'
        '"queued_ms":0,"run_ms":0,"llm_wait_ms":0}'
    )


def test_a_list_shows_these_bytes() -> None:
    assert ListedExecution.model_validate(PAUSED.summary()).model_dump_json() == (
        '{"execution_id":"0123","project":"p","status":"awaiting_llm","created_at":"2026-01-01T00:00:00Z",'
        '"started_at":"2026-01-01T00:00:00.000001Z","finished_at":null,"error_type":null,"exit_code":null,"version":4}'
    )


def test_events_show_these_bytes() -> None:
    shown = StatusEvent.model_validate(PAUSED)
    assert shown.model_dump_json() == (
        '{"execution_id":"0123","project":"p","status":"awaiting_llm","created_at":"2026-01-01T00:00:00Z",'
        '"started_at":"2026-01-01T00:00:00.000001Z","finished_at":null,"error_type":null,"exit_code":null,"version":4,'
        '"llm_request_ids":[2,3]}'
    )
    assert OpenLLMRequest.model_validate(QUESTION).model_dump_json() == ASKED % 2
