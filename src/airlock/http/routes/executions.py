"""`/execute` and `/executions`: run a script, follow it, answer it, cancel it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from airlock.errors import (
    AlreadyAnswered,
    ExecutionNotFound,
    IdempotencyKeyReused,
    InvalidRequest,
    NotAwaitingLLM,
    ProjectDown,
    ProjectNotFound,
    QueueFull,
    RateExceeded,
    ShuttingDown,
    StoreUnavailable,
    TooManyExecutions,
)
from airlock.executions import Answer, Listing
from airlock.http.openapi import LOCATION, WITH_BODY, link, refusals
from airlock.http.requests import StrictRoute, answer
from airlock.models import (
    ExecutionCreated,
    ExecutionList,
    ExecutionRequest,
    ExecutionResult,
    ExecutionStatus,
    ListedExecution,
    LLMResponse,
    ProjectName,
)

from .parameters import (
    Cursor,
    ExecutionId,
    GatewayOf,
    IdempotencyKey,
    Limit,
    Since,
    Wait,
    cursor_of,
    position_of,
)

router = APIRouter(route_class=StrictRoute, tags=["executions"])


def _links(execution_id: str) -> dict[str, Any]:
    """Return the links of the execution whose id is at this place of a response."""
    return {
        **link("get_execution", "The execution's status.", execution_id=execution_id),
        **link("get_events", "Follow it.", execution_id=execution_id),
        **link("respond", "Answer its LLM request.", execution_id=execution_id),
        **link("cancel", "End it.", execution_id=execution_id),
    }


_ITS_LINKS = _links("$response.body#/execution_id")
_LISTED_LINKS = {
    **_links("$response.body#/executions/0/execution_id"),
    **link("list_executions", "The next page.", cursor="$response.body#/next_cursor"),
}


@router.post(
    "/execute",
    status_code=202,
    response_model=ExecutionCreated | ExecutionResult,
    response_description="Accepted, not finished yet",
    responses={
        200: {
            "description": "With `wait`: it has finished, or awaits an LLM answer",
            "model": ExecutionResult,
            "headers": {"Location": LOCATION},
            "links": _ITS_LINKS,
        },
        202: {"headers": {"Location": LOCATION}, "links": _ITS_LINKS},
        **refusals(
            *WITH_BODY,
            ProjectNotFound,
            ProjectDown,
            IdempotencyKeyReused,
            RateExceeded,
            TooManyExecutions,
            QueueFull,
            ShuttingDown,
            StoreUnavailable,
        ),
    },
)
async def execute(
    request: ExecutionRequest, gateway: GatewayOf, wait: Wait = 0, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a script. Poll the execution at `Location` until its status is terminal.

    The same request with the same `Idempotency-Key` returns the first execution: nothing runs twice.

    With `wait` the answer is the execution: 200 if it has finished or awaits an LLM answer, otherwise 202.
    """
    execution = await gateway.submit(request, idempotency_key)
    location = {"Location": f"/executions/{execution.id}"}
    if not wait:
        created = ExecutionCreated(execution_id=execution.id, status=execution.status)  # pending, unless sent again
        return answer(created, 202, location)
    execution = await gateway.wait(execution.id, wait)
    return answer(ExecutionResult.model_validate(execution), 200 if execution.is_settled else 202, location)


@router.get("/executions", responses={200: {"links": _LISTED_LINKS}, **refusals(InvalidRequest, StoreUnavailable)})
async def list_executions(
    gateway: GatewayOf,
    project: ProjectName | None = None,
    status: ExecutionStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ExecutionList:
    """Return executions, newest first, without their code, output and results. A key sees its own."""
    after = None if cursor is None else position_of(cursor)
    found = await gateway.page(Listing(project=project, status=status, after=after, limit=limit + 1))
    more = len(found) > limit
    return ExecutionList(
        executions=[ListedExecution.model_validate(each) for each in found[:limit]],
        next_cursor=cursor_of(found[limit - 1].position) if more else None,
    )


@router.get(
    "/executions/{execution_id}",
    responses={200: {"links": _ITS_LINKS}, **refusals(ExecutionNotFound, InvalidRequest, StoreUnavailable)},
)
async def get_execution(
    execution_id: ExecutionId, gateway: GatewayOf, wait: Wait = 0, since: Since = None
) -> ExecutionResult:
    """Return an execution as it is now, with its output so far.

    With `wait`, answer when it has finished or awaits an LLM answer (with `since`, when its `version` differs), and in
    any case after that many seconds.
    """
    return ExecutionResult.model_validate(await gateway.wait(execution_id, wait, since))


@router.post(
    "/executions/{execution_id}/respond",
    responses={
        200: {"links": _ITS_LINKS},
        **refusals(*WITH_BODY, ExecutionNotFound, NotAwaitingLLM, AlreadyAnswered, StoreUnavailable),
    },
)
async def respond(execution_id: ExecutionId, response: LLMResponse, gateway: GatewayOf) -> ExecutionResult:
    """Answer the LLM request that the execution shows as `llm_request`, or the one that `request_id` names.

    With `request_id` it is safe to repeat: the same answer changes nothing, another one is refused with 409.
    """
    return ExecutionResult.model_validate(await gateway.respond(execution_id, *_answers(response)))


def _answers(sent: LLMResponse) -> list[Answer]:
    if sent.responses:
        return [Answer(one.response, one.request_id) for one in sent.responses]
    is_error = "error" in sent.model_fields_set
    return [Answer(sent.error if is_error else sent.response, sent.request_id or None, is_error)]


@router.post(
    "/executions/{execution_id}/cancel",
    responses={
        200: {"links": _ITS_LINKS},
        **refusals(ExecutionNotFound, InvalidRequest, ShuttingDown, StoreUnavailable),
    },
)
async def cancel(execution_id: ExecutionId, gateway: GatewayOf) -> ExecutionResult:
    """End an execution in any status as `error` / `cancelled`. Safe to repeat; a finished one stays as it is."""
    return ExecutionResult.model_validate(await gateway.cancel(execution_id))
