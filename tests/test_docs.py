"""The docs must match the code: every name is in them, and their code runs."""

import re
import tomllib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import airlock
import airlock.sandbox
import airlock.testing
from airlock.api import app
from airlock.backends.limits import Limits
from airlock.config import load_config
from airlock.errors import RequestError
from airlock.http.connection import BoundedHttp
from airlock.http.requests import MAX_BODY
from airlock.http.routes.parameters import MAX_WAIT
from airlock.http.server import CONNECTION_GRACE
from airlock.http.sse import KEEP_ALIVE
from airlock.models import ExecutionResult, ExecutionStatus
from airlock.plugins import BACKEND, hookspecs
from airlock.plugins.manager import Plugins
from airlock.running.patience import Patience
from airlock.worker import codec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
PLUGINS = (ROOT / "docs" / "plugins.md").read_text()
REST = (ROOT / "docs" / "rest.md").read_text()
PROTOCOL = (ROOT / "docs" / "worker-protocol.md").read_text()


@pytest.mark.parametrize("name", [name for name in vars(hookspecs) if name.startswith("airlock_")])
def test_every_hook_is_documented_with_its_arguments(name: str) -> None:
    hook = getattr(hookspecs, name)
    arguments = ", ".join(hook.__code__.co_varnames[: hook.__code__.co_argcount])
    assert f"`{name}({arguments})`" in PLUGINS


@pytest.mark.parametrize("name", dir(airlock))
def test_every_public_name_is_documented(name: str) -> None:
    assert re.search(rf"`@?(airlock\.)?{name}\b", PLUGINS)
    assert f"`{name}`" in (airlock.__doc__ or "")


@pytest.mark.parametrize("name", airlock.testing.__all__)
def test_every_public_name_for_tests_is_documented(name: str) -> None:
    assert re.search(rf"`(airlock\.testing\.)?{name}\b", PLUGINS)


def test_plugins_use_public_modules_only() -> None:
    """Other plugins need what our own do. Only the Linux calls are reserved for ours."""
    used: set[str] = set()
    for path in (ROOT / "plugins").glob("*/src/**/*.py"):
        for package, names in re.findall(r"^\s*from (airlock(?:\.\w+)*) import (.+)$", path.read_text(), re.MULTILINE):
            if package.startswith("airlock.worker."):
                used.add(package)
            elif package != "airlock":
                assert package in ("airlock.sandbox", "airlock.worker"), path
                used |= {f"{package}.{name.split()[0]}" for name in names.split("#")[0].strip("( )").split(", ")}
    assert used > {"airlock.sandbox.SandboxRun", "airlock.worker.codec"}
    used |= {f"airlock.sandbox.{name}" for name in airlock.sandbox.__all__}
    for name in used - {"airlock.worker.syscalls"}:
        short = name.rpartition(".")[2]
        assert re.search(rf"`{short}\b", PLUGINS), name
        assert re.search(rf"`{short}\b", PROTOCOL), name


def test_every_kind_of_frame_is_documented_with_its_byte() -> None:
    kinds = {name: value for name, value in vars(codec).items() if name.isupper() and isinstance(value, int)}
    assert "READY" in kinds
    for name, value in kinds.items():
        assert f"| `{name}` | `{chr(value)}` |" in PROTOCOL
    assert f'`struct.Struct("{codec.HEADER.format}")`' in PROTOCOL


def test_protocol_shows_the_backend_that_boots_a_worker_as_it_is() -> None:
    assert (ROOT / "examples" / "plain_process.py").read_text().strip() in PROTOCOL


@pytest.mark.parametrize("name", Limits.model_fields)
def test_every_limit_is_documented(name: str) -> None:
    assert f"| `{name}` |" in CONFIGURATION


@pytest.mark.parametrize("name", ExecutionResult.model_fields)
def test_every_field_of_an_execution_is_documented(name: str) -> None:
    assert f"`{name}`" in REST


@pytest.mark.parametrize("status", ExecutionStatus)
def test_every_status_is_documented(status: ExecutionStatus) -> None:
    assert status.value in REST


def test_every_operation_is_documented() -> None:
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        short = path.replace("{execution_id}", "{id}")
        for method in operations:
            assert f"`{method.upper()} {short}`" in REST


def codes(base: type[RequestError]) -> set[str]:
    below = set().union(*map(codes, base.__subclasses__()))
    return below | ({base.code} if hasattr(base, "code") else set())


def test_every_code_of_a_problem_is_documented() -> None:
    for code in codes(RequestError):
        assert f"`{code}`" in REST, code
    assert f"within {BoundedHttp.patience} s" in REST


def test_error_types_in_the_code_are_documented() -> None:
    source = "\n".join(p.read_text() for p in (ROOT / "src" / "airlock").rglob("*.py"))
    source += "\n".join(p.read_text() for p in (ROOT / "plugins").rglob("src/**/*.py"))
    used = set(re.findall(r'error_type="(\w+)"|ExecutionStatus\.\w+, "(\w+)"|end\("(\w+)"', source))
    for name in {name for names in used for name in names if name}:
        assert f"`{name}`" in REST, name


def test_readme_shows_the_example_plugin_as_it_is() -> None:
    module = (ROOT / "examples" / "plugin" / "src" / "airlock_template.py").read_text()
    assert module.strip() in README
    project = tomllib.loads((ROOT / "examples" / "plugin" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["airlock"] == {"template": "airlock_template"}


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_option_of_local_is_documented() -> None:
    for name, option in Plugins.discover().of(BACKEND)["local"].value.Settings.model_fields.items():
        assert f"| `{name}` | " in CONFIGURATION
        assert str(option.default) in CONFIGURATION


def test_deployment_page_has_a_configuration_that_is_valid(tmp_path: Path) -> None:
    text = block(DEPLOYMENT, "yaml").replace('"..."', f'"{"a" * 64}"')
    (tmp_path / "airlock.yaml").write_text(text)
    assert load_config(tmp_path / "airlock.yaml", Plugins.discover(), {}).warnings == []


def test_deployment_page_has_timeouts_that_are_longer_than_those_of_the_server() -> None:
    unit = dict(line.split("=", 1) for line in block(DEPLOYMENT, "ini").splitlines() if "=" in line)
    ending = CONNECTION_GRACE + Patience().ending + Patience().closing
    assert int(unit["TimeoutStopSec"]) > Limits().shutdown_grace + ending
    assert int(unit["LimitNOFILE"]) > 10 * 3 * Limits().max_paused
    proxy = block(DEPLOYMENT, "nginx")
    found = re.search(r"proxy_read_timeout (\d+)s", proxy)
    assert found
    assert int(found[1]) > max(MAX_WAIT, KEEP_ALIVE, Patience().scale)
    assert f"client_max_body_size {MAX_BODY >> 20}m;" in proxy


def block(page: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]
