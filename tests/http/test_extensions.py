"""What plugins may add to the server: routes, a lifespan, and answers to errors."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.http.extending import Served, extending, says

from airlock import Client, GatewayView
from airlock.api import create_app
from airlock.plugins.manager import Plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_a_route_of_a_plugin_answers(served: Served) -> None:
    assert served(says("hello")).get("/dash").json() == "hello"


def test_a_route_answers_without_a_lifespan_too(plugins: Plugins) -> None:
    plugins.register(extending(says("hello")))
    assert TestClient(create_app(plugins=plugins)).get("/dash").json() == "hello"


def test_routers_mounts_and_the_root_are_served(served: Served) -> None:
    def extend(app: FastAPI, gateway: GatewayView) -> None:
        router = APIRouter(prefix="/dash")
        router.get("/{page}")(lambda page: page)
        app.include_router(router)
        app.mount("/static", Mount("", routes=[Route("/x.css", lambda _: PlainTextResponse("css"))]))
        app.get("/")(lambda: "root")

    client = served(extend)
    assert client.get("/dash/7").json() == "7"
    assert client.get("/static/x.css").text == "css"
    assert client.get("/").json() == "root"
    assert client.get("/health").json() == {"status": "ok"}


def test_two_plugins_serve_side_by_side(served: Served) -> None:
    client = served(says("first", "/a"), says("second", "/b"))
    assert (client.get("/a").json(), client.get("/b").json()) == ("first", "second")


def test_the_view_shows_counts_and_backends(served: Served) -> None:
    def extend(app: FastAPI, gateway: GatewayView) -> None:
        @app.get("/dash")
        async def look() -> Any:
            projects = await gateway.for_client(Client()).projects()
            return [dict(gateway.backends), [(p.name, p.replicas, p.queued) for p in projects]]

    assert served(extend).get("/dash").json() == [{"one": "mock", "two": "mock"}, [["one", 1, 0], ["two", 1, 0]]]


def test_errors_of_a_plugins_routes_are_problems(served: Served) -> None:
    def extend(app: FastAPI, gateway: GatewayView) -> None:
        @app.get("/dash/{page}")
        async def show(page: int) -> None:
            if page:
                raise RuntimeError("a bug of the plugin")
            raise HTTPException(404, "no such page")

    client = served(extend)
    codes = {path: client.get(path).json()["code"] for path in ("/dash/0", "/dash/1", "/dash/x", "/dash")}
    assert codes == {"/dash/0": "not_found", "/dash/1": "internal", "/dash/x": "invalid_request", "/dash": "not_found"}
    assert client.get("/health").status_code == 200


def test_what_a_plugin_does_to_its_app_leaves_core_alone(served: Served) -> None:
    def extend(app: FastAPI, gateway: GatewayView) -> None:
        says("hello")(app, gateway)
        app.add_exception_handler(404, lambda *_: PlainTextResponse("mine"))

        @app.middleware("http")
        async def close(request: Request, call_next: Any) -> Any:
            return PlainTextResponse("closed", 418)

    client = served(extend)
    assert client.get("/dash").status_code == 418
    assert client.get("/health").status_code == 200
    assert client.get("/nowhere").json()["code"] == "not_found"


def test_a_lifespan_of_a_plugin_is_entered_and_left(served: Served) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append("in")
        yield
        seen.append("out")

    def extend(app: FastAPI, gateway: GatewayView) -> None:
        app.router.lifespan_context = lifespan
        app.get("/dash")(lambda: list(seen))

    client = served(extend)
    assert client.get("/dash").json() == ["in"]
    client.__exit__(None, None, None)
    assert seen == ["in", "out"]
    client.__enter__()
