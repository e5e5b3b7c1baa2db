"""`airlock metrics`: it prints what the server says, or in one line what is wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airlock.testing import served

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("AIRLOCK_")}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server with the key `k`."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "airlock.yaml").write_text("projects: {one: {backend: mock}}\n")
    with served(folder, {"AIRLOCK_API_KEY": "k"}) as (_, client):
        yield str(client.base_url)


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("airlock"), "metrics", *arguments],
        env={**ENVIRON, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_what_the_server_says(url: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k\n")
    by_options = command("--url", f"{url}/", "--key", f"@{tmp_path}/key")
    by_environment = command(AIRLOCK_URL=url, AIRLOCK_API_KEY="k")
    for printed in (by_options, by_environment):
        assert (printed.returncode, printed.stderr) == (0, "")
        assert 'airlock_project_up{project="one"} 1.0' in printed.stdout.splitlines()


def test_the_command_says_what_to_do_without_a_key(url: str) -> None:
    refused = command("--url", url)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"error: {url}: 401 Unauthorized; give a key with $AIRLOCK_API_KEY or --key @FILE\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "http://127.0.0.1:9"], "error: http://127.0.0.1:9: "),
        (["--url", "nonsense"], "error: nonsense: "),
        (["--key", "\xe9"], "error: http://127.0.0.1:8000: "),
        (["--key", "@/nowhere"], "No such file or directory: '/nowhere'"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(arguments: list[str], told: str) -> None:
    failed = command(*arguments)
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1)
    assert told in failed.stderr
