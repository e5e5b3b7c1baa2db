"""Fixtures of the tests of the log."""

import io
import logging
from collections.abc import Iterator

import pytest

from airlock.logs import REQUEST_ID


class Log:
    """The logger above those of all events; its lines go only to a stream."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("airlock")
        self._stream = io.StringIO()

    def write_with(self, formatter: logging.Formatter) -> None:
        """Use this format from now on."""
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(formatter)
        self.logger.handlers[:] = [handler]

    @property
    def text(self) -> str:
        """What has been written so far."""
        return self._stream.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    """Catch what is logged in a context without a request."""
    log = Log()
    handlers = log.logger.handlers[:]
    log.logger.propagate = False
    log.logger.setLevel(logging.DEBUG)
    before = REQUEST_ID.set(None)
    yield log
    REQUEST_ID.reset(before)
    log.logger.setLevel(logging.NOTSET)
    log.logger.propagate = True
    log.logger.handlers[:] = handlers
