"""The client stands alone: it imports nothing of core, and nothing that pip would not install with it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

CLIENT = Path(__file__).parents[1]


def imports() -> Iterator[str]:
    for path in (CLIENT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield (node.module or "").split(".")[0]


def test_it_imports_only_what_it_declares() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"\W", name.replace("-", "_"))[0] for name in project["dependencies"]}
    assert set(imports()) - set(sys.stdlib_module_names) <= declared


def test_models_and_errors_come_without_httpx() -> None:
    """The server needs these, and must not import an HTTP client for them."""
    code = "import sys, airlock_client.models, airlock_client.errors; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "airlock_client.models" in imported
    assert "httpx" not in imported
    assert "airlock" not in imported
