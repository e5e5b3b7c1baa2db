"""`/execute` and `/executions`: run a script, follow it, answer it, end it."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airlock.listing import cursor_of, position_of
from airlock.models import (
    ExecutionCreated,
    ExecutionList,
    ExecutionRequest,
    ExecutionResult,
    ExecutionStatus,
    LLMResponse,
    ProjectName,
)
from airlock.questions import Answer
from airlock.strict_requests import StrictRoute

from .parameters import Cursor, ExecutionId, GatewayOf, IdempotencyKey, Limit, Since, Wait

router = APIRouter(route_class=StrictRoute)


@router.post("/execute", status_code=202, responses={200: {"model": ExecutionResult}})
async def execute(
    request: ExecutionRequest,
    response: Response,
    gateway: GatewayOf,
    wait: Wait = 0,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionCreated | ExecutionResult:
    """Accept a script. Poll the execution at `Location` until its status is terminal.

    The same request with the same `Idempotency-Key` again is the first one's execution: nothing runs twice.

    With `wait` the answer is the execution: 200 when it is over or awaits an LLM answer, 202 when it still goes on.
    """
    execution = await gateway.submit(request, idempotency_key)
    response.headers["Location"] = f"/executions/{execution.id}"
    if not wait:
        return ExecutionCreated(execution_id=execution.id)
    execution = await gateway.wait(execution.id, wait)
    if execution.is_settled:
        response.status_code = 200
    return execution.to_result()


@router.get("/executions")
async def list_executions(
    gateway: GatewayOf,
    project: ProjectName | None = None,
    status: ExecutionStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ExecutionList:
    """Return executions, newest first, without their code, output and results. A key sees its own."""
    found = await gateway.page(project, status, None if cursor is None else position_of(cursor), limit + 1)
    more = len(found) > limit
    return ExecutionList(
        executions=[execution.to_listed() for execution in found[:limit]],
        next_cursor=cursor_of(found[limit - 1].position) if more else None,
    )


@router.get("/executions/{execution_id}")
async def get_execution(
    execution_id: ExecutionId, gateway: GatewayOf, wait: Wait = 0, since: Since = None
) -> ExecutionResult:
    """Return an execution as it is now, with its output so far.

    With `wait`, answer when it is over or awaits an LLM answer (with `since`, when its `version` differs), and in any
    case after that many seconds.
    """
    return (await gateway.wait(execution_id, wait, since)).to_result()


@router.post("/executions/{execution_id}/respond")
async def respond(execution_id: ExecutionId, answer: LLMResponse, gateway: GatewayOf) -> ExecutionResult:
    """Answer the LLM request that the execution shows as `llm_request`, or with `request_id` certainly that one.

    With `request_id` it is safe to repeat: the same answer again changes nothing, another one is 409.
    """
    return (await gateway.respond(execution_id, *_answers(answer))).to_result()


def _answers(sent: LLMResponse) -> list[Answer]:
    if sent.responses:
        return [Answer(one.response, one.request_id) for one in sent.responses]
    is_error = "error" in sent.model_fields_set
    return [Answer(sent.error if is_error else sent.response, sent.request_id or None, is_error)]


@router.post("/executions/{execution_id}/cancel")
async def cancel(execution_id: ExecutionId, gateway: GatewayOf) -> ExecutionResult:
    """End an execution in any status as `error` / `cancelled`. Safe to repeat; one that is over stays as it is."""
    return (await gateway.cancel(execution_id)).to_result()
