"""Which server requests go to, and with which key."""

import pytest

from airlock.client import Airlock


@pytest.mark.parametrize("key", ["copied\n", "ключ"])
def test_a_key_that_no_header_can_hold_is_a_value_error_without_the_key(key: str) -> None:
    with pytest.raises(ValueError, match="the key contains") as raised:
        Airlock(key=key)
    assert key.strip() not in str(raised.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:port", "/path"])
def test_a_url_that_names_no_server_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not (a|the) URL"):
        Airlock(url)
