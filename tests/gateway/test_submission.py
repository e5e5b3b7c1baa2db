"""What a request must satisfy beyond its model."""

import pytest
from tests.gateway.obedient import Gateways, started, submit

from airlock.errors import (
    InvalidRequest,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("key", ["nodot", ".key", "category."])
async def test_memory_key_that_no_script_can_read_is_refused(gateways: Gateways, key: str) -> None:
    gateway = await started(gateways)
    with pytest.raises(InvalidRequest, match=r"category\.key"):
        await submit(gateway, "x", memory={key: 1})
