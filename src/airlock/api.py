"""The REST API: routes only. What they do is the gateway's business; errors become problems in problems.py."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path, Query, Response
from fastapi.routing import APIRoute
from starlette.requests import Request

from . import config as configuration
from . import problems, strict_json
from .access import AccessMiddleware, AccessPolicy
from .extensions import Extensions
from .gateway import Gateway
from .gateway_view import GatewayView
from .listing import cursor_of, position_of
from .models import (
    ExecutionCreated,
    ExecutionList,
    ExecutionRequest,
    ExecutionResult,
    ExecutionStatus,
    HealthResponse,
    LLMResponse,
    PoolRequest,
    PoolStatus,
    ProjectList,
    ProjectName,
    ReadyResponse,
)
from .plugins import Plugins
from .questions import Answer
from .request_ids import RequestIdMiddleware
from .scoping import ScopedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi.telemetry import TelemetryConfig

    from .config import Config
    from .store import Store

MAX_WAIT: Final = 30  # seconds; less than the idle timeouts of common proxies
MAX_PAGE: Final = 500
MAX_BODY: Final = 16 << 20  # bytes of one request

# OpenTelemetry, sent where $OTEL_EXPORTER_OTLP_ENDPOINT says, and nowhere without it: a span for each request but those
# of load balancers. FastAPI does it. Metrics are the business of airlock-metrics.
TELEMETRY: Final[TelemetryConfig] = {
    "auto_configure": True,
    "operation_spans": False,
    "metrics": False,
    "logs": False,
    "exclude": lambda scope: scope["path"] in ("/health", "/ready"),
}


class Server:
    """What stands behind one app: made when it is needed, so that importing `airlock.api` builds nothing.

    With a lifespan (any ASGI server, `with TestClient(app)`) pools are started. Without one the first request makes a
    gateway that serves on the memory store and starts no pool.
    """

    extensions: Extensions

    def __init__(self, config: Config | None = None, plugins: Plugins | None = None) -> None:
        self._config = config
        self._plugins = plugins
        self._gateway: Gateway | None = None
        self._store: Store[Any] | None = None
        self._policy: AccessPolicy | None = None

    async def gateway(self) -> Gateway:
        """Return the gateway."""
        return self._gateway or self._open()

    async def policy(self) -> AccessPolicy:
        """Return who may talk to it."""
        if self._policy is None:
            self._policy = AccessPolicy.of((await self.gateway()).config, os.environ)
        return self._policy

    def is_public(self, path: str) -> bool:
        """Whether anybody may request this path. `/health` is not even asked for."""
        return path == "/ready" or self.extensions.is_public(path)

    async def open_store(self) -> None:
        """Open what airlock.yaml names as store, if that has not been done. Raises StoreRefused."""
        if self._store is None:
            self._plugins, self._config = self._configured()
            self._store = self._config.make_store()
            try:
                await self._store.open()
            except BaseException:
                await self._store.close()
                self._store = None
                raise

    def _configured(self) -> tuple[Plugins, Config]:
        plugins = self._plugins or Plugins.discover()
        return plugins, self._config or configuration.load(configuration.find(None, os.environ), plugins)

    def _open(self) -> Gateway:
        plugins, config = self._configured()
        self._gateway = Gateway(config, plugins, self._store)
        self.extensions.extend(plugins, GatewayView(self._gateway))
        return self._gateway

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the pools, and end everything at the end."""
        await self.open_store()
        gateway = self._open()
        await self.policy()  # a useless key is refused at start, not at the first request
        await gateway.start()
        async with AsyncExitStack() as until_end:
            await self.extensions.start(gateway.plugins, until_end)
            try:
                yield
            finally:
                await gateway.drain()
                await gateway.close()
                self._gateway = self._policy = self._store = None


class StrictRequest(Request):
    """A request whose body must be strict JSON, and not too large.

    The framework's own limit on bodies answers in plain text, so it is not used.
    """

    _content: bytes | None = None

    async def body(self) -> bytes:
        """Read the body. Raises HTTPException 413 as soon as it is too large."""
        if self._content is None:
            content = bytearray()
            async for piece in self.stream():
                content += piece
                if len(content) > MAX_BODY:
                    raise HTTPException(413, f"a body has at most {MAX_BODY} bytes")
            self._content = bytes(content)
        return self._content

    async def json(self) -> Any:
        """Parse the body. Raises HTTPException 400 when it is not strict JSON."""
        try:
            return strict_json.loads(await self.body())
        except ValueError as error:
            raise HTTPException(400, f"the body is not strict JSON: {error}") from None


class StrictRoute(APIRoute):
    """A route that takes only strict JSON, and says so."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # a coroutine is awaitable
        """Wrap the route's handler."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.body_field is not None and media_type != "application/json" and await request.body():
                raise HTTPException(415, "send application/json (Content-Type)")
            return await handler(request)

        return strict


async def _gateway(request: Request) -> ScopedGateway:
    server: Server = request.app.state.server
    return ScopedGateway(await server.gateway(), request.state.client)


GatewayOf = Annotated[ScopedGateway, Depends(_gateway)]
ExecutionId = Annotated[str, Path(max_length=64)]
NameOf = Annotated[ProjectName, Path()]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT, description="seconds to wait for news at most")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="executions at most")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="a text of the client's own, new for each execution that it wants"
    ),
]
Since = Annotated[int | None, Query(ge=0, description="with `wait`: the version that is known already")]


router = APIRouter(route_class=StrictRoute)


@router.get("/health")
async def health() -> HealthResponse:
    """Answer that the process is alive."""
    return HealthResponse()


@router.get("/ready")
async def ready(gateway: GatewayOf) -> ReadyResponse:
    """Answer that every project is up that shall be; 503 while one starts or has failed, and while draining."""
    gateway.check_ready()
    return ReadyResponse()


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


@router.get("/projects")
async def list_projects(gateway: GatewayOf) -> ProjectList:
    """Return the projects that airlock.yaml lists, with their pools."""
    return ProjectList(projects=await gateway.projects())


@router.post("/projects/{name}/up", response_model_exclude_none=True)
async def project_up(name: NameOf, gateway: GatewayOf, pool: PoolRequest | None = None) -> PoolStatus:
    """Keep this many warm workers. Answers when they are ready, or after 30 s with the state as it is, and goes on."""
    return await gateway.up(name, (pool or PoolRequest()).replicas)


@router.post("/projects/{name}/down", response_model_exclude_none=True)
async def project_down(name: NameOf, gateway: GatewayOf) -> PoolStatus:
    """Put a project down: what waits ends, what runs gets `limits.shutdown_grace`."""
    return await gateway.down(name)


def create_app(config: Config | None = None, plugins: Plugins | None = None) -> FastAPI:
    """Make an app. Without `config` it serves what airlock.yaml says ($AIRLOCK_CONFIG, ./airlock.yaml, built-in)."""
    server = Server(config, plugins)
    app = FastAPI(title="Airlock", version="0.1.0", lifespan=server.lifespan, telemetry=TELEMETRY)
    app.state.server = server
    problems.install(app)
    app.include_router(router)
    server.extensions = Extensions(app)
    app.router.routes.append(server.extensions)
    app.add_middleware(AccessMiddleware, policy=server.policy, is_public=server.is_public)
    app.add_middleware(RequestIdMiddleware)  # the last one added is the first to see a request
    return app


app = create_app()
