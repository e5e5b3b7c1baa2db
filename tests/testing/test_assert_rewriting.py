"""A failing assert of a contract shows its values, as one in a test of the author's own does."""

import ast
import importlib
from pathlib import Path

import pytest

import airlock.testing
import airlock.testing.attacks

FOLDER = Path(airlock.testing.__file__).parent
WITH_ASSERTS = [
    ".".join(("airlock", "testing", *path.relative_to(FOLDER).with_suffix("").parts))
    for path in sorted(FOLDER.rglob("*.py"))
    if any(
        isinstance(inner, ast.Assert)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name.startswith("test_")
        for inner in ast.walk(node)
    )
]


@pytest.mark.parametrize("name", WITH_ASSERTS)
def test_pytest_rewrites_the_asserts_of_a_module_with_tests(name: str) -> None:
    loader = importlib.import_module(name).__loader__
    assert type(loader).__name__ == "AssertionRewritingHook"
