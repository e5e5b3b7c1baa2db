"""`airlock serve`: what it prints at startup. tests/http/test_server.py tests whole servers."""

from pathlib import Path

import pytest

from airlock.cli.serve import _row
from airlock.config import load_config
from airlock.models import ProjectInfo
from airlock.plugins import Plugins

SECRET = "correct-horse-battery"


@pytest.mark.parametrize("detail", [f"cannot log in with {SECRET}\nListening on evil", f"{SECRET[:5]} {SECRET}"])
def test_the_detail_of_a_project_stays_on_its_line_and_shows_no_secret(detail: str, tmp_path: Path) -> None:
    (tmp_path / "airlock.yaml").write_text("projects: {p: {backend: mock, secrets: {TOKEN: {env: TOKEN}}}}")
    config = load_config(tmp_path / "airlock.yaml", Plugins.discover(), {"TOKEN": SECRET})
    project = ProjectInfo(name="p", description="", status="down", detail=detail)
    row = _row(project, config, config.make_redactor().text)
    assert SECRET not in " ".join(row)
    assert "\n" not in " ".join(row)
