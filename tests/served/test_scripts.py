"""Over 100 scripts as people write them (tests/scripts) do in sandboxes what they do with `python main.py`.

Where one does not, docs/scripts.md has a row, which is what is expected here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from uv import find_uv_bin

from airlock.testing import missing, served
from airlock.worker import warm

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "scripts"
PACKAGES = (FOLDER / "requirements.txt").read_text().split()
SCRIPTS = {str(path.relative_to(FOLDER)): path for path in sorted(FOLDER.glob("*/*.py"))}
ROW = re.compile(r"^\| `(\w+/\w+\.py)` \| (local|docker|both) \|", re.MULTILINE)
TABLES = (ROOT / "docs" / "scripts.md").read_text()
DIFFERENT = ROW.findall(TABLES)
IMAGE = os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")
CONFIG = """
store: memory
projects:
  local: {{backend: local, replicas: 2, packages: {packages}, limits: {{memory: 1GiB, processes: 256}}}}
  docker: {{backend: {{type: docker, image: {image}}}, replicas: 2, packages: {packages}, limits: {{memory: 1GiB}}}}
"""
START = 300.0  # seconds until all packages are installed

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the same packages."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
    return python


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "airlock.yaml").write_text(CONFIG.format(packages=PACKAGES, image=IMAGE))
    with served(folder) as (_, client):
        client.timeout = httpx.Timeout(START)
        yield client


@pytest.fixture(scope="module")
def expected(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], tuple[str, str, int]]:
    """What a script writes to stdout and stderr and how it exits with plain CPython; each runs once."""
    found: dict[Path, tuple[str, str, int]] = {}

    def run(script: Path) -> tuple[str, str, int]:
        if script not in found:
            folder = tmp_path_factory.mktemp("plain")
            (folder / "main.py").write_text(script.read_text())
            nameless = {name: value for name, value in warm.ENVIRONMENT.items() if name not in ("USER", "LOGNAME")}
            environ = {**nameless, "PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(folder)}
            ran = subprocess.run(
                [python, "main.py"], cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            found[script] = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace"), ran.returncode
        return found[script]

    return run


def cases() -> Iterator[Any]:
    for backend in ("local", "docker"):
        for name in SCRIPTS:
            differs = {(name, backend), (name, "both")} & {*DIFFERENT}
            marks = [pytest.mark.xfail(reason="see docs/scripts.md", strict=True)] if differs else []
            yield pytest.param(backend, name, marks=marks, id=f"{backend}-{name}")


@pytest.mark.parametrize(("backend", "name"), [*cases()])
def test_a_script_does_what_it_does_on_a_laptop(
    client: httpx.Client, expected: Callable[[Path], tuple[str, str, int]], backend: str, name: str
) -> None:
    stdout, stderr, exit_code = expected(SCRIPTS[name])
    ended = execute(client, backend, SCRIPTS[name].read_text())
    assert (ended["stdout"], ended["exit_code"]) == (stdout, exit_code), ended["stderr"]
    assert ended["error_type"] == ("script_error" if exit_code else None), ended["error"]
    if exit_code == 1 and stderr:  # a hook of the script may have written its exception elsewhere
        exception = ended["error"].partition(":")[0]
        assert exception == "SystemExit" or exception in stderr, ended["error"]


def execute(client: httpx.Client, project: str, code: str) -> dict[str, Any]:
    """Run code until it ends; the first of a project waits until its packages are installed."""
    answer = client.post("/execute", json={"project": project, "code": code})
    if answer.status_code == httpx.codes.CONFLICT:  # the project is down
        missing("docker" if project == "docker" else "sandbox", answer.json()["detail"])
    ended: dict[str, Any] = answer.raise_for_status().json()
    give_up = time.monotonic() + START
    while ended["status"] in ("pending", "running"):
        assert time.monotonic() < give_up, f"still {ended['status']}"
        ended = client.get(f"/executions/{ended['execution_id']}?wait=30").raise_for_status().json()
    return ended


def test_the_table_of_differences_names_scripts_that_exist() -> None:
    rows = re.findall(r"^\| `\w+/\w+\.py`", TABLES, re.MULTILINE)
    assert len(rows) == len(DIFFERENT), "a row names no backend"
    names = [name for name, _ in DIFFERENT]
    assert len({*names}) == len(names)
    assert {*names} <= {*SCRIPTS}
    assert len(SCRIPTS) >= 100
