"""What schemathesis cannot learn from Airlock's OpenAPI document. All checks and operations stay enabled."""

import re
import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

from airlock.executions import Position
from airlock.http.routes.parameters import cursor_of
from airlock.models import PROJECT_NAME
from airlock.testing import code_that_asks

_asking: list[str] = []
_over: list[str] = []

# Texts of the server's own.
schemathesis.openapi.format("event-id", st.just(""))
schemathesis.openapi.format("cursor", st.floats(0, 4e9).map(lambda seconds: cursor_of(Position(seconds, "x"))))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Leave invalid data unchanged, and make some of the valid data reach further."""
    query: Any = case.query or {}
    headers: Any = case.headers or {}
    path: Any = case.path_parameters or {}
    if query.get("wait") in range(31):
        query["wait"] = 0.1  # nobody here has so much time
    if isinstance(headers.get("Idempotency-Key"), str) and headers["Idempotency-Key"]:
        headers["Idempotency-Key"] = f"{headers['Idempotency-Key'][:200]}{uuid.uuid4()}"  # of one execution only
    name = path.get("execution_id")
    known = _over if case.path.endswith("/events") else _asking  # the stream of one that asks takes its time
    if known and isinstance(name, str) and len(name) <= 64 and name not in (*_asking, *_over):
        path["execution_id"] = known[len(name) % len(known)]
    for holder, name in ((query, "last_event_id"), (headers, "last-event-id")):
        if holder.get(name) == "" and (of := path.get("execution_id")) in _over:
            holder[name] = f"{of[:8]}.0.0.0.0"
    if is_project(path.get("name")):
        path["name"] = "mock-project"
    if case.path == "/execute" and isinstance(case.body, dict):
        if is_project(case.body.get("project")):
            case.body["project"] = "mock-project"
        if isinstance(code := case.body.get("code"), str) and len(code) % 2 and len(code.splitlines()) == 1:
            case.body["code"] = code_that_asks(code)


@schemathesis.hook
def after_call(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], response: schemathesis.Response
) -> None:
    """Record which executions await an answer, and which have finished."""
    if case.path == "/execute" and response.status_code == 200:
        shown = response.json()
        (_asking if shown["status"] == "awaiting_llm" else _over).append(shown["execution_id"])


def is_project(name: object) -> bool:
    """Whether to replace this name: three of four valid ones, which would only lead to a 404."""
    return isinstance(name, str) and re.fullmatch(PROJECT_NAME, name) is not None and len(name) % 4 > 0
