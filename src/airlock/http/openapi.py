"""The OpenAPI document: what FastAPI finds in the routes, and what it cannot know."""

from __future__ import annotations

from collections import defaultdict
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from airlock.errors import InvalidRequest

from .errors import BodyTooLarge, Fault, MalformedBody, NotLocal, TooManyBodies, Unauthorized, UnsupportedMedia
from .examples import EXAMPLES
from .middleware import REQUEST_ID_HEADER
from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI

    from airlock.errors import RequestError

PROBLEM: Final = "application/problem+json"
WITH_BODY: Final = (MalformedBody, BodyTooLarge, UnsupportedMedia, InvalidRequest, TooManyBodies)
"""Reasons to refuse any request with a body."""

PUBLIC: Final[dict[str, Any]] = {"security": []}
"""The `openapi_extra` of a route that needs no key."""

_DESCRIPTION: Final = """\
Runs Python scripts of AI agents in sandboxes. `POST /execute` accepts a script; poll the execution until its status is
terminal, and answer its LLM requests while its status is `awaiting_llm`.

Bodies are strict JSON. Every error is a problem (RFC 9457) with a stable `code`. Every response has an `X-Request-ID`.
Every GET path also answers HEAD.
"""
_TAGS: Final = [
    {"name": "executions", "description": "Run scripts, follow them, answer them, end them."},
    {"name": "projects", "description": "What scripts run in, and how many workers are kept ready."},
    {"name": "health", "description": "Health checks."},
]
_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of `server.keys`, or AIRLOCK_API_KEY. A server without keys needs none.",
}
_REQUEST_ID: Final = {
    "description": "Names this request in the server's log; an id that the client sent is kept if it is one word.",
    "schema": {"type": "string"},
}
_RETRY_AFTER: Final = {
    "description": "Seconds to wait before the next try.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
LOCATION: Final = {
    "description": "The path of the execution.",
    "required": True,
    "schema": {"type": "string", "pattern": "^/executions/"},
}


def refusals(*errors: type[RequestError], is_public: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may be refused for these reasons, in addition to those of every route."""
    by_status: defaultdict[int, list[type[RequestError]]] = defaultdict(list)
    for error in (*errors, *(() if is_public else (Unauthorized, NotLocal)), Fault):
        by_status[error.status].append(error)
    return {
        status: {
            "description": "; ".join(f"{error.title} (`{error.code}`)" for error in found),
            "headers": {"Retry-After": _RETRY_AFTER} if found[0].status in (429, 503) else {},
            "content": {
                PROBLEM: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {error.code: {"value": _example_of(error)} for error in found},
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def link(operation: str, description: str, **parameters: str) -> dict[str, Any]:
    """Return a link from a response to an operation, which is named by its id."""
    return {operation: {"operationId": operation, "description": description, "parameters": parameters}}


def document(app: FastAPI, *, needs_key: bool) -> dict[str, Any]:
    """Make the document of a server that needs a key, or of one that needs none."""
    package = metadata("airlock-core")
    license_id = package["License-Expression"]
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=package["Summary"],
        description=_DESCRIPTION,
        license_info={"name": license_id, "identifier": license_id},
        servers=[{"url": "/", "description": "this server"}],
        tags=_TAGS,
        routes=app.routes,
    )
    made["components"]["securitySchemes"] = {"key": _KEY}
    made["security"] = [{"key": []}] if needs_key else [{"key": []}, {}]
    schemas = made["components"]["schemas"]
    problem = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    for name, examples in EXAMPLES.items():
        schemas[name]["examples"] = examples
    for operation in _operations(made):
        for response in operation["responses"].values():
            response.setdefault("headers", {})[REQUEST_ID_HEADER] = _REQUEST_ID
        for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
            if (content := holder.get("content", {}).get("application/json")) is not None:
                content["examples"] = dict(_examples_of(content["schema"]))
    return made


def _operations(made: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in made["paths"].values():
        yield from path.values()


def _examples_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the examples of the models that a body may have, each named by what distinguishes it."""
    for option in (schema, *schema.get("anyOf", ())):
        for example in EXAMPLES.get(option.get("$ref", "").rpartition("/")[2], ()):
            yield example.get("status") or "-".join(example), {"value": example}


def _example_of(error: type[RequestError]) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.title,
        "code": error.code,
        "request_id": EXAMPLES["Problem"][0]["request_id"],
    }
