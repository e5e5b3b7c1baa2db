"""What is valid in airlock.yaml, but reported as a likely mistake."""

from pathlib import Path

import pytest

from airlock.config import load_config
from airlock.plugins.manager import Plugins


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return Plugins.discover()


def warnings(folder: Path, text: str, plugins: Plugins, **environ: str) -> list[str]:
    path = folder / "airlock.yaml"
    path.write_text(text)
    return [told.removeprefix(f"{folder}/") for told in load_config(path, plugins, environ).warnings]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server: {port: 80}", "no project is listed, and there is no default_backend: every request is answered with"),
        ("projects:", "airlock.yaml:1:1: projects: no project is listed"),
        ("server: {insecure: true}\nprojects: {p: {backend: local}}", "airlock.yaml:1:10: server.insecure: anyone "),
        (
            "projects: {p: {backend: local, replicas: 64, limits: {memory: 1000GiB}}}",
            "airlock.yaml:1:1: projects: exec",
        ),
        ("projects: {p: {backend: local, limits: {cpus: 1000}}}", "airlock.yaml:1:41: projects.p.limits.cpus: this ma"),
        ("projects: {p: {backend: local, limits: {scratch: 1GiB}}}", "airlock.yaml:1:41: projects.p.limits.scratch: f"),
        ("projects: {p: {backend: mock, settings: {API_KEY: x}}}", "airlock.yaml:1:42: projects.p.settings.API_KEY: l"),
    ],
)
def test_a_likely_mistake_is_told_with_its_place(tmp_path: Path, plugins: Plugins, text: str, told: str) -> None:
    [only] = warnings(tmp_path, text, plugins)
    assert only.startswith(told)


def test_a_key_that_can_be_guessed_is_told_and_not_shown(tmp_path: Path, plugins: Plugins) -> None:
    [told] = warnings(tmp_path, "projects: {p: {backend: local}}", plugins, AIRLOCK_API_KEY="hunter2")
    assert told.startswith("AIRLOCK_API_KEY has fewer than 16 characters")
    assert "hunter2" not in told


def test_what_is_usual_gives_no_warning(tmp_path: Path, plugins: Plugins) -> None:
    text = "projects: {p: {backend: local, settings: {KEYBOARD: us}, limits: {cpus: 1}}}"
    assert warnings(tmp_path, text, plugins, AIRLOCK_API_KEY="x" * 16) == []
