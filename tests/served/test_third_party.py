"""A third-party plugin, built and installed as by its author: it needs only what is public."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
PYPROJECT = """
[project]
name = "airlock-plain"
version = "1.0"
dependencies = ["airlock-core~=0.1.0"]

[project.entry-points.airlock]
plain = "airlock_plain"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
SUITE = """
import airlock
from airlock.testing import BackendContract
from airlock_plain import PlainBackend


class TestPlain(BackendContract):
    capabilities = frozenset({"streams_output", "subprocesses"})

    def make_backend(self, project):
        return PlainBackend(project, airlock.BackendSettings())
"""


@pytest.mark.long
def test_somebody_elses_backend_passes_the_contract_from_wheels_in_a_clean_environment(tmp_path: Path) -> None:
    plugin, wheels, python = tmp_path / "plugin", tmp_path / "wheels", tmp_path / "env" / "bin" / "python"
    (plugin / "airlock_plain").mkdir(parents=True)
    (plugin / "pyproject.toml").write_text(PYPROJECT)
    shutil.copy(ROOT / "examples" / "plain_process.py", plugin / "airlock_plain" / "__init__.py")
    for project in (ROOT, ROOT / "client", plugin):
        run(tmp_path, find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(wheels), str(project))
    run(tmp_path, find_uv_bin(), "venv", "--quiet", "--python", sys.executable, "env")
    core, client, plain = (next(wheels.glob(f"airlock_{name}-*.whl")) for name in ("core", "client", "plain"))
    install = ("pip", "install", "--quiet", "--python", str(python), "--constraint", str(ROOT / "constraints.txt"))
    run(tmp_path, find_uv_bin(), *install, f"{core}[testing]", str(client), str(plain))
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_plain.py").write_text(SUITE)
    said = run(suite, str(python), "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in said
    assert "failed" not in said
    assert "airlock-plain 1.0" in run(suite, str(python.with_name("airlock")), "plugins")


def run(folder: Path, *command: str) -> str:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "PYTHON", "VIRTUAL_ENV"))
    }
    ran = subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
