"""`StoreContract` says what is wrong with bad stores."""

import pytest

STORE = """
        from airlock.stores.memory import MemoryStore
        from airlock.testing import StoreContract

        class Fake(MemoryStore):
            type = "fake"

            {method}

        class TestFake(StoreContract):
            def make_store(self, directory):
                return Fake()
"""


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("async def create(self, execution): await super().create(execution)", "create() must return*None*"),
        ("async def page(self, listing): return [1]", "page() must return an airlock.Summary here, not int"),
        ("def sweep(self): pass", "Airlock refuses the plugin: Fake.sweep is not async*"),
        (
            "def __init__(self, settings=None, directory=None): pass",
            "Airlock refuses the plugin: *does not call super().__init__",
        ),
    ],
)
def test_bad_store_is_told_in_words(pytester: pytest.Pytester, method: str, told: str) -> None:
    pytester.makepyfile(STORE.format(method=method))
    result = pytester.runpytest()
    result.stdout.fnmatch_lines_random([f"*{told}", "*see docs/plugins.md, Stores; help(airlock.Store)"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
