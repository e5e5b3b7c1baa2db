"""100 scripts as people write them (tests/scripts) do in sandboxes what they do with `python main.py`.

Where one does not, docs/scripts.md has a row, which is what is expected here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from uv import find_uv_bin

from airlock.testing import served
from airlock.worker import warm

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "scripts"
PACKAGES = (FOLDER / "requirements.txt").read_text().split()
SCRIPTS = {str(path.relative_to(FOLDER)): path for path in sorted(FOLDER.glob("*/*.py"))}
ROW = re.compile(r"^\| `(\w+/\w+\.py)` \| (local|docker|both) \|", re.MULTILINE)
DIFFERENT = ROW.findall((ROOT / "docs" / "scripts.md").read_text())
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
def expected(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], tuple[str, int]]:
    """What a script prints and how it exits with plain CPython; each runs once."""
    found: dict[Path, tuple[str, int]] = {}

    def run(script: Path) -> tuple[str, int]:
        if script not in found:
            folder = tmp_path_factory.mktemp("plain")
            (folder / "main.py").write_text(script.read_text())
            nameless = {name: value for name, value in warm.ENVIRONMENT.items() if name not in ("USER", "LOGNAME")}
            environ = {**nameless, "PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(folder)}
            ran = subprocess.run(
                [python, "main.py"], cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            found[script] = ran.stdout.decode(errors="replace"), ran.returncode
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
    client: httpx.Client, expected: Callable[[Path], tuple[str, int]], backend: str, name: str
) -> None:
    stdout, exit_code = expected(SCRIPTS[name])
    answer = client.post("/execute?wait=30", json={"project": backend, "code": SCRIPTS[name].read_text()})
    ended = answer.json()
    assert (ended["stdout"], ended["exit_code"]) == (stdout, exit_code), ended["stderr"]
    assert ended["error_type"] == ("script_error" if exit_code else None), ended["error"]


def test_the_table_of_differences_names_scripts_that_exist() -> None:
    assert {name for name, _ in DIFFERENT} <= {*SCRIPTS}
    assert len(SCRIPTS) == 100
