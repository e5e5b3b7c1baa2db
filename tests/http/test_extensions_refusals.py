"""Plugins whose routes or lifespan are wrong: they neither hide nor break core's routes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from tests.conftest import SCRIPTED
from tests.http.extending import TWO_PROJECTS, Extend, Served, says

from airlock import GatewayView
from airlock.plugins.manager import Plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import RunningServer


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
