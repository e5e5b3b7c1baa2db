"""The gateway as one client sees it, whichever list is requested."""

import pytest

from airlock.config import Config
from airlock.executions import Listing
from airlock.gateway import Gateway
from airlock.gateway.scoped import ScopedGateway
from airlock.plugins import Client, Plugins
from airlock.stores import MemoryStore
from airlock.testing.store import an_execution

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("asked", [None, "alice", "bob"])
@pytest.mark.parametrize(("name", "visible"), [("alice", ["0"]), ("", [])])
async def test_a_client_lists_its_own_executions_whichever_client_it_asks_for(
    asked: str | None, name: str, visible: list[str]
) -> None:
    gateway = await with_executions()
    page = await ScopedGateway(gateway, Client(name=name)).page(Listing(client=asked, limit=9))
    assert [each.id for each in page] == visible


@pytest.mark.parametrize(("asked", "visible"), [(None, ["2", "1", "0"]), ("bob", ["1"])])
async def test_the_operator_lists_those_of_everybody_or_of_one_client(asked: str | None, visible: list[str]) -> None:
    gateway = await with_executions()
    page = await ScopedGateway(gateway, Client()).page(Listing(client=asked, limit=9))
    assert [each.id for each in page] == visible


async def with_executions() -> Gateway:
    store = MemoryStore()
    for number, client in enumerate(("alice", "bob", None)):
        await store.create(an_execution(number, client=client))
    return Gateway(Config(), Plugins(), store)
