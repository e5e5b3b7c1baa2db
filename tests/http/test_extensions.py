"""Plugins' routes need the same key as core's, and neither hide nor break those."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.conftest import SCRIPTED

from airlock import Client, ClientGateway, ExecutionRequest, GatewayView, Listing, hookimpl
from airlock.api import create_app
from airlock.config import load_config
from airlock.gateway import keys
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source
from airlock.testing import code_that_asks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.conftest import RunningServer

    Extend = Callable[[FastAPI, GatewayView], Any]
    Served = Callable[..., TestClient]

PLUGINS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
TWO_PROJECTS = "projects: {one: {backend: mock}, two: {backend: mock}}\n"
KEYED = f"""
server:
  keys:
    - {{name: all, sha256: {keys.sha256("all")}}}
    - {{name: one, sha256: {keys.sha256("one")}, projects: [one]}}
{TWO_PROJECTS}
"""


def extending(extend: Extend) -> SimpleNamespace:
    def airlock_extend_app(app: FastAPI, gateway: GatewayView) -> Any:
        return extend(app, gateway)

    return SimpleNamespace(airlock_extend_app=hookimpl(airlock_extend_app))


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def plugins() -> Plugins:
    found = Plugins.discover()
    assert not found.broken
    return found


@pytest.fixture
def served(tmp_path: Path, plugins: Plugins) -> Iterator[Served]:
    """An app with these plugins, started, and its client."""
    started: list[TestClient] = []

    def serve(*extends: Extend, config: str = TWO_PROJECTS) -> TestClient:
        for number, extend in enumerate(extends, 1):
            plugins.register(extending(extend), Source(f"p{number}", f"airlock-p{number}", "1.0"))
        path = tmp_path / "airlock.yaml"
        path.write_text(config)
        client = TestClient(create_app(load_config(path, plugins, {}), plugins), raise_server_exceptions=False)
        started.append(client.__enter__())
        return client

    yield serve
    for client in started:
        client.__exit__(None, None, None)


def says(text: str, path: str = "/dash", public: Any = None) -> Extend:
    def extend(app: FastAPI, gateway: GatewayView) -> Any:
        @app.get(path)
        async def say() -> str:
            return text

        return public

    return extend


def lists_projects(app: FastAPI, gateway: GatewayView) -> list[str]:
    """Two routes that show what the client may see, one of them public."""

    async def names(request: Request) -> list[str]:
        mine = gateway.for_client(gateway.client_of(request))
        return [project.name for project in await mine.projects()]

    app.get("/dash/private")(names)
    app.get("/dash/public")(names)
    return ["/dash/public"]


# --- what a plugin may do --------------------------------------------------------------------------------------------


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


# --- on behalf of a client -------------------------------------------------------------------------------------------


def with_example(monkeypatch: pytest.MonkeyPatch) -> Extend:
    """The plugin that runs scripts, taken from docs/plugins.md."""
    [source] = [block for block in re.findall(r"```python\n(.*?)```", PLUGINS, re.DOTALL) if '"/oracle"' in block]
    module = ModuleType("airlock_oracle")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(source, module.__dict__)
    extend: Extend = module.airlock_extend_app
    return extend


def runs_and_shows(app: FastAPI, gateway: GatewayView) -> list[str]:
    """Routes that hand out what the gateway does for a client."""

    def seen_by(request: Request) -> ClientGateway:
        return gateway.for_client(gateway.client_of(request))

    @app.post("/dash/run")
    async def run(sent: ExecutionRequest, request: Request, key: str | None = None) -> str:
        return (await seen_by(request).submit(sent, key)).id

    @app.get("/dash/page")
    async def page(request: Request) -> list[str]:
        return [each.id for each in await seen_by(request).page(Listing(limit=10))]

    @app.post("/dash/cancel/{execution_id}")
    async def cancel(execution_id: str, request: Request) -> str | None:
        return (await seen_by(request).cancel(execution_id)).error_type

    @app.get("/dash/output/{execution_id}")
    async def output(execution_id: str, request: Request) -> str:
        return (await seen_by(request).follow(execution_id)).read("stdout", 0, 100)

    @app.get("/dash/{execution_id}")
    async def get(execution_id: str, request: Request) -> str:
        return (await seen_by(request).get(execution_id)).status.value

    @app.post("/dash/{name}/{replicas}")
    async def scale(name: str, replicas: int, request: Request) -> str:
        mine = seen_by(request)
        return (await (mine.up(name, replicas) if replicas else mine.down(name))).status

    return ["/dash/run", "/dash/page"]


def test_the_example_of_the_docs_runs_a_script_and_answers_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served(with_example(monkeypatch), config=KEYED)
    script = {"project": "one", "code": code_that_asks("why")}
    answer = client.post("/oracle", json=script, headers=with_key("one"))
    assert (answer.status_code, answer.json()["status"], answer.json()["result"]["answer"]) == (200, "completed", "42")
    known = f"/executions/{answer.json()['execution_id']}"
    assert client.get(known, headers=with_key("one")).status_code == 200, "it is the client's own"
    assert client.get(known, headers=with_key("all")).status_code == 404, "and nobody else's"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [({"project": "two"}, 404, "project_not_found"), ({"project": "one", "tiemout": 1}, 422, "invalid_request")],
)
def test_what_a_client_may_not_do_its_routes_may_not_either(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: dict[str, Any], status: int, code: str
) -> None:
    client = served(with_example(monkeypatch), config=KEYED)
    refused = client.post("/oracle", json={"code": "x", **sent}, headers=with_key("one"))
    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_a_route_sees_the_executions_of_its_client_only(served: Served) -> None:
    client = served(runs_and_shows, config=KEYED)
    script = {"project": "one", "code": code_that_asks("why")}
    mine, others = (client.post("/dash/run", json=script, headers=with_key(key)).json() for key in ("one", "all"))
    assert client.get("/dash/page", headers=with_key("one")).json() == [mine]
    assert client.get(f"/dash/{mine}", headers=with_key("one")).json() == "awaiting_llm"
    for method, path in (("GET", "/dash/"), ("GET", "/dash/output/"), ("POST", "/dash/cancel/")):
        refused = client.request(method, path + others, headers=with_key("one"))
        assert (refused.status_code, refused.json()["code"]) == (404, "execution_not_found")
    assert client.post(f"/dash/cancel/{mine}", headers=with_key("one")).json() == "cancelled"
    assert client.get(f"/dash/{others}", headers=with_key("all")).json() == "awaiting_llm"


def test_a_route_has_the_idempotency_of_its_client(served: Served) -> None:
    client = served(runs_and_shows, config=KEYED)
    first, again, others = (
        client.post("/dash/run?key=k", json={"project": "one", "code": "x"}, headers=with_key(key)).json()
        for key in ("one", "one", "all")
    )
    assert first == again != others


def test_a_route_scales_the_projects_of_its_client_only(served: Served) -> None:
    client = served(runs_and_shows, config=KEYED)
    assert client.post("/dash/one/0", headers=with_key("one")).json() == "down"
    assert client.post("/dash/one/2", headers=with_key("one")).json() == "up"
    assert client.post("/dash/two/0", headers=with_key("one")).json()["code"] == "project_not_found"


def test_a_stranger_can_run_and_see_nothing(served: Served) -> None:
    client = served(runs_and_shows, config=KEYED)
    client.post("/dash/run", json={"project": "one", "code": "x"}, headers=with_key("one"))
    refused = client.post("/dash/run", json={"project": "one", "code": "x"})
    assert (refused.status_code, refused.json()["detail"]) == (404, "no project 'one'; without a key none may be used")
    assert client.get("/dash/page").json() == []


@pytest.mark.parametrize(("config", "has_keys"), [(KEYED, True), (TWO_PROJECTS, False)])
def test_a_plugin_knows_in_its_hook_whether_the_server_has_keys(served: Served, config: str, has_keys: bool) -> None:
    seen: list[bool] = []

    def extend(app: FastAPI, gateway: GatewayView) -> None:
        seen.append(gateway.has_keys)

    served(extend, config=config)
    assert seen == [has_keys]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_route_needs_a_key_like_those_of_core(served: Served) -> None:
    client = served(says("hello"), config=KEYED)
    assert client.get("/dash").status_code == 401
    assert client.get("/dash", headers=with_key("guess")).status_code == 401
    assert client.get("/dash", headers=with_key("all")).json() == "hello"


def test_a_path_below_the_plugins_own_needs_a_key_before_it_is_said_whether_it_exists(served: Served) -> None:
    assert served(says("hello"), config=KEYED).get("/dash/nothing").status_code == 401


def test_a_public_path_is_served_to_strangers_who_may_see_nothing(served: Served) -> None:
    client = served(lists_projects, config=KEYED)
    assert client.get("/dash/private").status_code == 401
    assert client.get("/dash/public").json() == []
    assert client.get("/dash/public", headers=with_key("guess")).json() == []


def test_the_view_shows_a_client_its_own_projects(served: Served) -> None:
    client = served(lists_projects, config=KEYED)
    assert client.get("/dash/public", headers=with_key("one")).json() == ["one"]
    assert client.get("/dash/private", headers=with_key("one")).json() == ["one"]
    assert client.get("/dash/private", headers=with_key("all")).json() == ["one", "two"]


@pytest.mark.parametrize("path", ["/dash/public/", "/dash/public/x", "/dash/publicx", "//dash/public", "/dash//public"])
def test_only_the_public_path_itself_is_open(served: Served, path: str) -> None:
    client = served(lists_projects, config=KEYED)
    assert client.get(f"http://testserver{path}", follow_redirects=False).status_code == 401


def test_a_final_slash_opens_all_below(served: Served) -> None:
    def extend(app: FastAPI, gateway: GatewayView) -> list[str]:
        app.get("/dash/static/{name:path}")(lambda name: name)
        app.get("/dash/static2")(lambda: "secret")
        return ["/dash/static/"]

    client = served(extend, config=KEYED)
    assert client.get("/dash/static/a/b.css").json() == "a/b.css"
    assert client.get("/dash/static2").status_code == 401


def test_a_plugin_cannot_open_what_is_cores_or_anothers(served: Served, plugins: Plugins) -> None:
    client = served(says("a", "/a", ["/projects"]), says("b", "/b"), says("c", "/c", ["/b"]), config=KEYED)
    assert client.get("/projects").status_code == 401
    assert client.get("/b").status_code == 401
    assert [broken.source.name for broken in plugins.broken] == ["p1", "p3"]
    assert "'/projects' as public, but has no route there" in plugins.broken[0].error


# --- what a plugin may not do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/health", "/execute", "/executions/{id}/mine", "/projects", "/projects/x", "/docs", "/openapi.json"],
)
def test_a_path_of_core_is_refused(served: Served, plugins: Plugins, path: str) -> None:
    client = served(says("shadow", path), says("sound", "/sound"))
    [broken] = plugins.broken
    segment = path.split("/")[1]
    assert str(broken) == (
        f"airlock-p1 1.0 is broken: it adds no routes: the path {path!r} is not free: "
        f"/{segment} is core's, choose another first segment"
    )
    assert client.get(path).text != '"shadow"'
    assert client.get("/sound").json() == "sound"


@pytest.mark.parametrize("path", ["/{anything}", "/{anything:path}", "/a{b}", "/a%2Fb", "/ä"])
def test_a_path_without_a_word_of_its_own_is_refused(served: Served, plugins: Plugins, path: str) -> None:
    client = served(says("shadow", path))
    [broken] = plugins.broken
    assert f"the path {path!r} must start with its own first segment, like /extend_app/..." in broken.error
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["", "/", "/health"])
def test_a_mount_over_core_is_refused(served: Served, plugins: Plugins, path: str) -> None:
    client = served(lambda app, _: app.mount(path, FastAPI()))
    assert len(plugins.broken) == 1
    assert client.post("/health").status_code == 405
    assert client.get("/health").json() == {"status": "ok"}


def test_one_path_that_is_taken_costs_the_plugin_all_its_routes(served: Served) -> None:
    def extend(app: FastAPI, gateway: GatewayView) -> None:
        says("mine", "/mine")(app, gateway)
        says("shadow", "/projects")(app, gateway)

    assert served(extend).get("/mine").status_code == 404


def test_the_second_plugin_at_a_path_is_refused_with_the_name_of_the_first(served: Served, plugins: Plugins) -> None:
    client = served(says("first", "/dash/a"), says("second", "/dash/b"))
    assert client.get("/dash/a").json() == "first"
    assert client.get("/dash/b").status_code == 404
    assert str(plugins.broken[0]).endswith("'/dash/b' is not free: /dash is served by airlock-p1 1.0")


def raises(*_: object) -> None:
    raise RuntimeError("a bug of the plugin")


def exits(_: FastAPI, __: GatewayView) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("extend", "told"),
    [
        (raises, "RuntimeError: a bug of the plugin"),
        (exits, "SystemExit: 3"),
        (says("x", public="/dash"), "returned str; return a list of the public paths, or None"),
        (says("x", public=["dash"]), "returned 'dash' as public; a path starts with '/'"),
        (says("x", public=[1]), "returned 1 as public; a path starts with '/'"),
    ],
)
def test_a_plugin_that_is_wrong_is_named_and_the_server_serves(
    served: Served, plugins: Plugins, caplog: pytest.LogCaptureFixture, extend: Extend, told: str
) -> None:
    client = served(extend, says("sound", "/sound"))
    assert [told in broken.error for broken in plugins.broken] == [True]
    assert [record.levelno for record in caplog.records if told in record.message] == [logging.ERROR]
    assert client.get("/dash").status_code == 404
    assert client.get("/sound").json() == "sound"


def test_a_lifespan_that_fails_costs_only_the_plugins_routes(served: Served, plugins: Plugins) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raises()
        yield

    def extend(app: FastAPI, gateway: GatewayView) -> None:
        says("hello")(app, gateway)
        app.router.lifespan_context = lifespan

    client = served(extend, says("sound", "/sound"))
    assert client.get("/dash").status_code == 404
    assert client.get("/sound").json() == "sound"
    assert "its lifespan failed: RuntimeError: a bug of the plugin" in plugins.broken[0].error


def test_a_lifespan_that_fails_at_the_end_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        raise RuntimeError("no goodbye")

    def extend(app: FastAPI, gateway: GatewayView) -> None:
        app.router.lifespan_context = lifespan
        says("hello")(app, gateway)

    client = served(extend)
    client.__exit__(None, None, None)
    assert "plugin airlock-p1 1.0 failed to end" in caplog.text
    client.__enter__()


def test_a_server_with_a_broken_plugin_says_so_and_serves(serve: Callable[..., RunningServer], tmp_path: Path) -> None:
    (tmp_path / "shadow.py").write_text(
        "import airlock\n@airlock.hookimpl\ndef airlock_extend_app(app):\n    app.get('/health')(lambda: 'shadow')\n"
    )
    info = tmp_path / "airlock_shadow-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: airlock-shadow\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[airlock]\nshadow = shadow\n")
    server = serve(TWO_PROJECTS, PYTHONPATH=f"{SCRIPTED}:{tmp_path}")
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    assert "'/health' is not free" in server.line_with("warning: plugin airlock-shadow 0.1 is broken")
