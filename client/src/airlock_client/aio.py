"""The client for asyncio and trio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from .calls import Calls
from .errors import ClientError, Unreachable
from .run import RemoteRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from .events import Stream
    from .models import OpenLLMRequest
    from .replies import Result


class AsyncAirlock(Calls):
    """Talks to an Airlock server, as `Airlock` does, and raises the same errors. Tasks may share one client."""

    async def run(
        self,
        code: str,
        *,
        project: str,
        llm: Callable[[OpenLLMRequest], Awaitable[str] | str] | None = None,
        on_output: Callable[[Stream, str], object] | None = None,
        timeout: int | None = None,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a script until it finishes, completed or not, as `Airlock.run` does.

        `llm` and `on_output` may be async; plain functions are called in a thread, so they may block. Cancelling the
        task cancels the execution.
        """
        execution_id = await self.submit(code, project=project, timeout=timeout, settings=settings, memory=memory)
        try:
            return await RemoteRun(self, execution_id, llm, on_output).finish()
        except Unreachable as error:  # a cancel request would not arrive either
            error.execution_id = execution_id
            raise
        except BaseException as error:
            if isinstance(error, ClientError):
                error.execution_id = execution_id
            await self._cancel_as_last_will(execution_id)
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()
