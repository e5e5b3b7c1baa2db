"""The contract that every store passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from airlock.errors import Conflict, ExecutionNotFound, StoreRefused
from airlock.executions import Execution, Listing, OpenRequest, Summary
from airlock.models import ExecutionStatus, LLMRequest
from airlock.plugins import STORE, ClassKind
from airlock.stores import Store

from .contract import Contract

Status = ExecutionStatus
RICH: dict[str, Any] = {
    "code": "print('\u00e9\U0001f600\\0')",
    "settings": {"a": "b"},
    "memory": {"x.y": [1, {"z": None}]},
    "idempotency_key": "key",
    "request_digest": "d",
}


def an_execution(number: int = 0, **more: Any) -> Execution:
    """Create an execution with this number as its id and creation time."""
    fields: dict[str, Any] = {"id": str(number), "project": "p", "code": "x", "timeout": 1, "created_at": float(number)}
    return Execution(**(fields | more))


def _check(found: object, cls: type, method: str) -> None:
    name = type(found).__name__
    assert isinstance(found, cls), f"{method}() must return an airlock.{cls.__name__} here, not {name}"


def _content(directory: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


class StoreContract(Contract):
    """Subclass it and write `make_store`; for the same `directory`, it must return a store on the same data."""

    kind: ClassVar[ClassKind[Any]] = STORE

    def make_store(self, directory: Path) -> Store[Any]:
        """Return a store that has not been opened."""
        raise NotImplementedError(f"write {type(self).__name__}.make_store(self, directory)")

    def make(self, directory: Path) -> Store[Any]:
        """See `Contract.make`."""
        return self.make_store(directory)

    def writes_held(self, store: Store[Any]) -> AbstractAsyncContextManager[None]:
        """Hold up all that this store writes, as another client of its database can. If none can, do not write it."""
        del store
        pytest.skip("writes_held() is not written")

    @asynccontextmanager
    async def opened(self, directory: Path) -> AsyncIterator[Store[Any]]:
        store = self.make_store(directory)
        try:
            await store.open()
            yield store
        finally:
            await store.close()

    async def finish(self, store: Store[Any], number: int, **more: Any) -> Execution:
        await store.create(an_execution(number))
        return await store.transition(
            str(number), 0, {"status": Status.error, "finished_at": time.time(), "error_type": "internal", **more}
        )

    @pytest.mark.anyio
    async def test_check_changes_nothing(self, tmp_path: Path) -> None:
        def checked() -> bool:
            store = self.make_store(tmp_path)
            before = _content(tmp_path)
            warnings = type(store).check(store.settings, store.directory)
            assert all(isinstance(warning, str) for warning in warnings), "check() must return warnings as strings"
            return _content(tmp_path) == before

        assert checked(), "check() changed files before the store was created"
        async with self.opened(tmp_path) as store:
            await store.create(an_execution(**RICH))
        assert checked(), "check() changed files after a server used the store"

    @pytest.mark.anyio
    async def test_methods_return_records(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            _check(await store.create(an_execution(idempotency_key="k")), Execution, "create")
            _check(await store.get("0"), Execution, "get")
            _check(await store.find(None, "k"), Execution, "find")
            _check(await store.transition("0", 0, {"status": Status.running}), Execution, "transition")
            for summary in await store.page(Listing(limit=1)):
                _check(summary, Summary, "page")
            for execution in await store.unfinished():
                _check(execution, Execution, "unfinished")

    @pytest.mark.anyio
    async def test_what_was_created_is_found_whole(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            created = an_execution(client="alice", **RICH)
            assert await store.create(created) == created
            assert await store.get("0") == created
            assert await store.get("1") is None

    @pytest.mark.anyio
    async def test_transition_returns_and_keeps_the_next_version(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.create(an_execution())
            running = await store.transition("0", 0, {"status": Status.running, "started_at": 5.5})
            asked = (OpenRequest(id=1, request=LLMRequest(prompt="?", model="m"), created_at=2.5, expires_at=9.0),)
            paused = await store.transition(
                "0", 1, {"status": Status.awaiting_llm, "llm_requests": asked, "stdout": "so far"}
            )
            assert (running.status, running.version, running.started_at) == (Status.running, 1, 5.5)
            assert (paused.llm_requests, paused.stdout, paused.version) == (asked, "so far", 2)
            assert await store.get("0") == paused

    @pytest.mark.anyio
    async def test_what_is_over_is_found_whole(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.create(an_execution(**RICH))
            await store.transition("0", 0, {"status": Status.running, "started_at": 1.0})
            over = await store.transition(
                "0",
                1,
                {
                    "status": Status.completed,
                    "finished_at": time.time(),
                    "result": {"a": [1.5, None, "\u2028"]},
                    "memory_updates": {"a.b": True},
                    "stdout": "out",
                    "stderr": "err",
                    "truncated": True,
                    "exit_code": -9,
                    "run_ms": 3,
                },
            )
            assert await store.get("0") == over

    @pytest.mark.anyio
    async def test_old_version_and_illegal_change_are_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            over = await self.finish(store, 0)
            await store.create(an_execution(1))
            for number, version, changes in (
                ("1", 7, {"status": Status.running}),
                ("1", 0, {"status": Status.completed}),
                ("0", 1, {"status": Status.error, "error": "second"}),
            ):
                with pytest.raises(Conflict):
                    await store.transition(number, version, changes)
            with pytest.raises(ExecutionNotFound):
                await store.transition("2", 0, {"status": Status.running})
            assert await store.get("0") == over
            assert await store.get("1") == an_execution(1)

    @pytest.mark.anyio
    async def test_different_executions_change_at_once(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for number in range(20):
                await store.create(an_execution(number))
            async with anyio.create_task_group() as group:
                for number in range(20):
                    changes = {"status": Status.running, "stdout": str(number)}
                    group.start_soon(store.transition, str(number), 0, changes)
            stored = [await store.get(str(number)) for number in range(20)]
            assert [each and (each.version, each.stdout) for each in stored] == [(1, str(n)) for n in range(20)]

    @pytest.mark.anyio
    async def test_update_writes_the_next_version(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.create(an_execution(**RICH))
            changed = an_execution(**RICH).changed({"status": Status.running, "stdout": "so far"})
            await store.update(changed)
            assert await store.get("0") == changed

    @pytest.mark.anyio
    async def test_same_key_of_the_same_client_is_the_same_execution(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            first = await store.create(an_execution(0, client="alice", idempotency_key="k"))
            assert await store.create(an_execution(1, client="alice", idempotency_key="k")) == first
            assert await store.get("1") is None
            for number, client in ((2, "bob"), (3, None)):
                other = an_execution(number, client=client, idempotency_key="k")
                assert await store.create(other) == other
            assert await store.find("alice", "k") == first
            assert await store.find("alice", "other") is None
            over = {"status": Status.error, "finished_at": time.time()}
            assert await store.find("alice", "k") == first
            finished = await store.transition("0", 0, over)
            assert await store.create(an_execution(4, client="alice", idempotency_key="k")) == finished

    @pytest.mark.anyio
    async def test_same_key_at_once_creates_one(self, tmp_path: Path) -> None:
        made: list[Execution] = []
        async with self.opened(tmp_path) as store:

            async def create(number: int) -> None:
                made.append(await store.create(an_execution(number, idempotency_key="k")))

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(create, number)
            assert len({execution.id for execution in made}) == 1
            assert len(await store.page(Listing(limit=50))) == 1

    @pytest.mark.anyio
    async def test_pages_go_from_new_to_old_and_hold_each_once(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            for number in (3, 1, 4, 0, 2):
                await store.create(an_execution(number))
            await store.create(replace(an_execution(4), id="4b"))  # at the same moment
            first = await store.page(Listing(limit=2))
            second = await store.page(Listing(limit=9, after=first[-1].position))
            assert [each.id for each in (*first, *second)] == ["4b", "4", "3", "2", "1", "0"]

    @pytest.mark.anyio
    async def test_page_holds_only_what_is_asked_for(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.create(an_execution(0, client="alice"))
            await store.create(an_execution(1, project="q"))
            over = await self.finish(store, 2, exit_code=3)
            assert [each.id for each in await store.page(Listing(project="q", limit=9))] == ["1"]
            assert [each.id for each in await store.page(Listing(client="alice", limit=9))] == ["0"]
            assert await store.page(Listing(status=Status.error, limit=9)) == [over.summary()]
            assert await store.page(Listing(status=Status.error, project="q", limit=9)) == []

    @pytest.mark.anyio
    async def test_unfinished_ones_come_oldest_first(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.create(an_execution(0))
            await self.finish(store, 1)
            await store.create(an_execution(2))
            await store.transition("2", 0, {"status": Status.running})
            assert [(each.id, each.status) for each in await store.unfinished()] == [
                ("0", Status.pending),
                ("2", Status.running),
            ]

    @pytest.mark.anyio
    async def test_reads_do_not_wait_for_a_write_that_is_held_up(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            over = await self.finish(store, 0)
            kept = await store.create(an_execution(1, idempotency_key="k"))
            async with self.writes_held(store):
                writing = asyncio.ensure_future(store.create(an_execution(2)))
                await asyncio.sleep(0.1)
                is_held = not writing.done()
                found = await store.get("0"), await store.find(None, "k"), [*await store.page(Listing(limit=9))]
                still_held = not writing.done()
            await asyncio.wait({writing})
            assert is_held, "writes_held() must hold up create()"
            assert still_held, "get(), find() or page() waited for create(), which waits for somebody else"
            assert found == (over, kept, [kept.summary(), over.summary()])
            assert await store.get("2") == writing.result()

    @pytest.mark.anyio
    async def test_sweep_leaves_what_is_not_over(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.create(an_execution(0))
            await store.sweep()
            assert await store.get("0") == an_execution(0)

    @pytest.mark.anyio
    async def test_durable_store_has_everything_after_it_was_closed(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            if not store.is_durable:
                pytest.skip("is_durable is False")
            over = await self.finish(store, 0)
            waiting = await store.create(an_execution(1, **RICH))
        async with self.opened(tmp_path) as store:
            assert await store.get("0") == over
            assert await store.unfinished() == [waiting]
            assert await store.find(None, "key") == waiting
            assert (await store.transition("1", 0, {"status": Status.running})).version == 1

    @pytest.mark.anyio
    async def test_durable_store_is_refused_to_a_second_server(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            if not store.is_durable:
                pytest.skip("is_durable is False")
            second = self.make_store(tmp_path)
            with pytest.raises(StoreRefused):
                await second.open()
            await second.close()
            assert await store.create(an_execution(0)) == an_execution(0)
