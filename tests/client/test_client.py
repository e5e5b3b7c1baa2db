"""`airlock.client`: the names of `airlock_client`, re-exported by core."""

import subprocess
import sys

import airlock.client
import airlock_client
from airlock import LLMError


def test_importing_the_client_imports_no_server() -> None:
    code = "import sys, airlock.client; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "airlock" in imported
    assert not {"fastapi", "starlette", "uvicorn", "pluggy", "typer", "yaml"} & set(imported)


def test_it_has_the_same_names() -> None:
    assert airlock.client.__all__ == airlock_client.__all__
    for name in airlock_client.__all__:
        assert getattr(airlock.client, name) is getattr(airlock_client, name)


def test_an_llm_callable_may_raise_the_llm_error_of_core_as_well() -> None:
    assert issubclass(LLMError, airlock_client.LLMError)
