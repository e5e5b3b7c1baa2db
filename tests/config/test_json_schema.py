"""The JSON Schema of airlock.yaml accepts and refuses what Airlock does."""

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.config.conftest import MockBackend, load, plugin, problems

from airlock import BackendSettings
from airlock.config.json_schema import json_schema
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source

ROOT = Path(__file__).parents[2]


def test_json_schema_is_one_and_the_shipped_file_conforms(plugins: Plugins) -> None:
    schema = json_schema(plugins)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((ROOT / "airlock.yaml").read_text()), schema)


class Indescribable(BackendSettings):
    hook: Callable[[], None] | None = None


class IndescribableBackend(MockBackend):
    type = "indescribable"
    Settings = Indescribable


def test_options_that_json_schema_cannot_say_hurt_no_other_plugin(plugins: Plugins) -> None:
    plugins.register(plugin(backends=[IndescribableBackend]), Source("x", "airlock-x", "1.0"))
    schema = json_schema(plugins)
    jsonschema.validate({"projects": {"p": {"backend": {"type": "indescribable", "hook": None}}}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"projects": {"p": {"backend": {"type": "local", "isolatoin": "full"}}}}, schema)


def test_json_schema_without_any_backend_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(Plugins()))


@pytest.mark.parametrize(
    "text",
    [
        "{projects: {p: {backend: {type: local, isolation: full, mounts: [{source: a}]}}}}",
        "{projects: {p: {backend: local, llm: {type: canned, answers: [a]}, limits: {memory: 64MiB, timeout: 5}}}}",
        "{server: {port: 80}, default_backend: mock}",
    ],
)
def test_json_schema_accepts_what_is_valid(text: str, plugins: Plugins) -> None:
    load(text, plugins)
    jsonschema.validate(yaml.safe_load(text), json_schema(plugins))


@pytest.mark.parametrize(
    "text",
    [
        "{projects: {p: {}}}",
        "{projects: {p: {backend: nosuch}}}",
        "{projects: {p: {backend: {type: local, isolatoin: full}}}}",
        "{projects: {p: {backend: {type: local, mounts: [{}]}}}}",
        "{projects: {p: {backend: mock, llm: canned}}}",
        "{projects: {p: {backend: mock, limits: {tmeout: 5}}}}",
        "{projects: {'a b': {backend: mock}}}",
        "{default_backend: local}",
        "{server: {prt: 80}}",
        "{prjects: {}}",
    ],
)
def test_json_schema_refuses_what_is_refused(text: str, plugins: Plugins) -> None:
    assert problems(text, plugins)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema(plugins))
