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


ONE_CONNECTION = """
        import asyncio
        from contextlib import asynccontextmanager
        from airlock.stores.memory import MemoryStore
        from airlock.testing import StoreContract

        class OneConnection(MemoryStore):
            type = "one"

            async def open(self):
                self.connection, self.may_write = asyncio.Lock(), asyncio.Event()
                self.may_write.set()

            async def create(self, execution):
                async with self.connection:
                    await self.may_write.wait()
                    return await super().create(execution)

            async def page(self, listing):
                async with self.connection:
                    return await super().page(listing)

        class TestOneConnection(StoreContract):
            def make_store(self, directory):
                return OneConnection()

            @asynccontextmanager
            async def writes_held(self, store):
                store.may_write.clear()
                asyncio.get_running_loop().call_later(0.5, store.may_write.set)
                yield
"""


def test_store_whose_reads_wait_for_its_writes_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE_CONNECTION)
    result = pytester.runpytest("-k", "reads_do_not_wait")
    result.stdout.fnmatch_lines_random(["*get(), find() or page() waited for create()*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
