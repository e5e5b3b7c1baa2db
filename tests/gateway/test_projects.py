"""All projects of a gateway: which are found, and which are remembered."""

import pytest
from tests.gateway.obedient import Gateways, gateway_with, started

from airlock.config.config import Config
from airlock.config.sections import ServerConfig
from airlock.errors import ProjectNotFound
from airlock.gateway.gateway import Gateway
from airlock.plugins.manager import Plugins

pytestmark = pytest.mark.anyio


async def test_unknown_project_is_named_with_those_that_exist(gateways: Gateways) -> None:
    gateway = await started(gateways)
    with pytest.raises(ProjectNotFound, match=r"'q'.*: p"):
        await gateway.up("q", 1)


async def test_many_names_served_by_the_default_backend_are_not_all_remembered() -> None:
    gateway = gateway_with()
    unlisted = gateway.config.projects["p"]
    gateway = Gateway(Config(server=ServerConfig(), unlisted=unlisted), Plugins())
    for number in range(400):
        await gateway.up(f"p{number}", 1)
    assert len(gateway.projects._unlisted) == 256
    assert "p399" in gateway.projects._unlisted
    await gateway.close()
