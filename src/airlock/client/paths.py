"""Paths of the REST API."""

from __future__ import annotations

from urllib.parse import quote


def execution_path(execution_id: str) -> str:
    """Return the path of an execution."""
    return f"/executions/{segment(execution_id)}"


def segment(name: str) -> str:
    """Write a name as one part of a path."""
    if not name.strip("."):  # would lead elsewhere
        raise ValueError(f"{name!r} names nothing")
    return quote(name, safe="")
