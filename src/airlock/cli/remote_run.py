"""One script on a server: `airlock exec`, and `airlock run --url`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airlock.client import AsyncAirlock, ClientError

from .answers import NoAnswer
from .following import Output
from .interruption import Interruption
from .remote import read_key, refused
from .terminal import fail

if TYPE_CHECKING:
    from airlock.client import OpenLLMRequest, Result

    from .answers import Answer


def run_there(url: str | None, key: str | None, answer: Answer, *, project: str | None, **given: Any) -> Result:
    """Return the execution when it is over, or end the command. Interrupted, it is cancelled."""
    output, interruption = Output(), Interruption()
    no_answer: list[NoAnswer] = []

    async def main() -> Result:
        interruption.watch()
        task = asyncio.current_task()
        assert task is not None
        one_at_a_time = asyncio.Lock()

        async def llm(request: OpenLLMRequest) -> str:
            async with one_at_a_time:
                output.end_line()
                try:
                    return await answer(request)
                except NoAnswer as error:
                    no_answer.append(error)
                    task.cancel()
                    return await asyncio.Future()  # till this task is cancelled with it

        async with AsyncAirlock(url, read_key(key), retry_for=10) as client:
            chosen = project or await _only_project(client)
            result = await client.run(
                project=chosen, llm=llm, on_output=lambda stream, text: output.write(text), **given
            )
            interruption.is_ending = True
            output.end_line()
            return result

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        output.end_line()
        if no_answer:
            fail(str(no_answer[0]), code=no_answer[0].code)
        if interruption.received is None:
            raise
        fail("interrupted", code=128 + interruption.received)
    except ValueError as error:
        fail(str(error), code=2)
    except ClientError as error:
        refused(error)


async def _only_project(client: AsyncAirlock) -> str:
    names = sorted(project.name for project in await client.projects())
    if len(names) != 1:
        fail(f"choose with --project: {', '.join(names) or 'the server lists none'}", code=2)
    return names[0]
