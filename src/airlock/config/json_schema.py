"""The JSON Schema of airlock.yaml, with the options of every installed plugin, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.errors import PydanticInvalidForJsonSchema

from airlock.models import PROJECT_NAME
from airlock.plugins import BACKEND, MEDIATOR, STORE

from .sections import File, ProjectSection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.plugins import Plugins, Provided


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of airlock.yaml, with the options of every installed plugin."""
    schema = File.model_json_schema()
    project = ProjectSection.model_json_schema()
    definitions = {**schema.pop("$defs"), **project.pop("$defs"), "Project": project}
    silent = {word: by for word, by in plugins.of(BACKEND).items() if not by.value.runs_code}
    for fields, key, kind, provided in (
        (project["properties"], "backend", BACKEND, plugins.of(BACKEND)),
        (project["properties"], "llm", MEDIATOR, plugins.of(MEDIATOR)),
        (schema["properties"], "default_backend", BACKEND, silent),
        (schema["properties"], "store", STORE, plugins.of(STORE)),
    ):
        fields[key] |= _choice(kind.name, provided, definitions)
    schema["properties"]["projects"] |= {
        "additionalProperties": {"$ref": "#/$defs/Project"},
        "propertyNames": {"pattern": PROJECT_NAME},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "airlock.yaml",
        "$defs": definitions,
    }


def _choice(kind: str, provided: Mapping[str, Provided[Any]], definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe what may be chosen: `word`, or `{type: word, ...options}`."""
    words, objects = [], []
    for word, by in sorted(provided.items()):
        name = f"{kind}.{word}"
        try:
            options = by.value.Settings.model_json_schema(ref_template=f"#/$defs/{name}/$defs/{{model}}")
        except PydanticInvalidForJsonSchema:  # editors then know the name of this plugin only, of the others all
            options = {"type": "object"}
        required = options.get("required", [])
        options["properties"] = {"type": {"const": word}, **options.get("properties", {})}
        options["required"] = ["type", *required]
        definitions[name] = options
        objects.append({"$ref": f"#/$defs/{name}"})
        if not required:
            words.append({"const": word, "description": f"from {by.source}"})
    return {"oneOf": [*words, *objects]} if objects else {"not": {}}
