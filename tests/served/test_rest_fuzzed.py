"""schemathesis against a real server: every operation by itself, then chains of them along the links."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

HOOKS = Path(__file__).parents[1] / "fuzzed"
KEY = "correct horse"
EXAMPLES = 500 if os.environ.get("AIRLOCK_TEST_SOAK") else 3  # for each operation
PROJECTS = """
projects:
  mock-project: {backend: mock, limits: {timeout: 86400, max_replicas: 1000, llm_timeout: 1}}
"""
KEYED = f"server: {{keys: [{{name: fuzzer, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}]}}\n{PROJECTS}"


@pytest.mark.parametrize(
    ("config", "options"),
    [(PROJECTS, ""), (KEYED, f'auth.openapi.key.bearer = "{KEY}"')],
    ids=["without keys", "with a key"],
)
@pytest.mark.long
def test_schemathesis_finds_nothing(tmp_path: Path, serve: Callable[..., Any], config: str, options: str) -> None:
    server = serve(config)
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    document = httpx.get(f"{url}/openapi.json", headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    (tmp_path / "openapi.json").write_bytes(document.content)
    (tmp_path / "schemathesis.toml").write_text(f'hooks = "airlock_hooks"\n{options}\n')
    run = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json", "--url", url),
            *("--checks", "all", "--max-examples", str(EXAMPLES), "--request-timeout", "60"),
            *("--no-color", "--no-shrink", "--seed", "1"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOOKS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in run.stdout, run.stdout
    assert not [line for line in server.printed if "Traceback" in line or " failed" in line]
