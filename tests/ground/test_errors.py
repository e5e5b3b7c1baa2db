"""The trees of exceptions in the docstrings name every exception, with its status."""

import inspect
import re
from types import ModuleType

import pytest

import airlock.errors
import airlock.http.errors
from airlock.plugins import PluginError


@pytest.mark.parametrize("module", [airlock.errors, airlock.http.errors], ids=lambda module: module.__name__)
def test_the_tree_names_every_exception_with_its_status(module: ModuleType) -> None:
    drawn = dict(re.findall(r"^[│ ]*[├└]── (\w+)(?: +(\d{3})\b)?", module.__doc__ or "", re.MULTILINE))
    for name, error in inspect.getmembers(module, inspect.isclass):
        if error.__module__ == module.__name__ and name != "AirlockError":
            assert name in drawn
            assert drawn[name] in ("", str(getattr(error, "status", drawn[name])))


def test_an_error_of_another_room_hangs_where_it_is_drawn() -> None:
    assert issubclass(PluginError, airlock.errors.AirlockError)
