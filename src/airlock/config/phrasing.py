"""pydantic's errors in an operator's words, without values: a value may be a secret from the environment."""

from __future__ import annotations

import typing
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from airlock.units import Size, format_size

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MUST_BE: Final = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text; put it in quotes if you mean text",
    "list_type": "a list, like [a, b]",
    "tuple_type": "a list, like [a, b]",
    "set_type": "a list, like [a, b]",
    "frozen_set_type": "a list, like [a, b]",
    "dict_type": "a mapping, like {{key: value}}",
    "model_type": "a mapping, like {{key: value}}",
    "model_attributes_type": "a mapping, like {{key: value}}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
}


def phrase(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Describe an error from validating `model`."""
    kind, location, context = error["type"], error["loc"], error.get("ctx", {})
    if kind == "extra_forbidden":
        owner = _model_at(model, location[:-1])
        return unknown_key(str(location[-1]), _keys(owner)) if owner else "unknown key"
    if kind == "missing":
        return "required"
    if kind == "value_error":
        return str(context["error"])
    if kind in _MUST_BE:
        if _is_size(_model_at(model, location[:-1]), location[-1] if location else ""):
            context = {name: format_size(bound) if isinstance(bound, int) else bound for name, bound in context.items()}
        return f"must be {_MUST_BE[kind].format(**context)}"
    return error["msg"][:1].lower() + error["msg"][1:]


def unknown_key(key: str, allowed: list[str]) -> str:
    """Describe an unknown key, with the one that was probably meant, else with all that are allowed."""
    if near := get_close_matches(key, allowed, 1):
        return f"unknown key; did you mean {near[0]!r}?"
    return f"unknown key; allowed: {', '.join(allowed)}" if allowed else "unknown key; none is allowed here"


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Find the model that validated the mapping at a location; None if that is not clear."""
    found: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, str) and found is not None:
            field = found.model_fields.get(part)
            found = (
                _model_in(field.annotation) if field else found
            )  # what is not a field is a key, an index or a union branch
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = filter(None, map(_model_in, typing.get_args(annotation)))
    return next(models, None)


def _is_size(model: type[BaseModel] | None, name: int | str) -> bool:
    field = model.model_fields.get(str(name)) if model else None
    return field is not None and all(part in field.metadata for part in typing.get_args(Size)[1:])
