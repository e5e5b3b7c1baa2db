"""Plugins' routes act for the client that calls them, and need the same key as core's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI, Request
from tests.http.extending import KEYED, TWO_PROJECTS, Extend, Served, says, with_key

from airlock import ClientGateway, ExecutionRequest, GatewayView, Listing
from airlock.plugins.manager import Plugins
from airlock.testing import code_that_asks

PLUGINS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def lists_projects(app: FastAPI, gateway: GatewayView) -> list[str]:
    """Two routes that show what the client may see, one of them public."""

    async def names(request: Request) -> list[str]:
        mine = gateway.for_client(gateway.client_of(request))
        return [project.name for project in await mine.projects()]

    app.get("/dash/private")(names)
    app.get("/dash/public")(names)
    return ["/dash/public"]


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
