"""A backend that runs nothing: it echoes the code, or sends the LLM request that the code contains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airlock import Backend, BackendSettings, LLMError, LLMRequest, Outcome, Pool

if TYPE_CHECKING:
    from airlock import Job, Run

ASK = "# mock: ask "
"""Code that starts with this sends an LLM request: the rest of its first line is the prompt."""


class MockBackend(Backend[BackendSettings]):
    """Completes at once with the result `{"echo": code}` and the code as stdout.

    Code whose first line is `# mock: ask PROMPT` pauses for an LLM answer first; the result is then
    `{"echo": code, "answer": answer}`.
    """

    type = "mock"
    runs_code = False
    uses = frozenset({"packages"})  # shown to agents, as in the real project that it stands in for
    isolation = "runs no code"
    _replicas = 0

    async def scale(self, replicas: int) -> None:
        """Keep the number of workers."""
        self._replicas = replicas

    def pool(self) -> Pool:
        """Return that many idle workers: an echo is never busy."""
        return Pool(replicas=self._replicas, idle=self._replicas)

    async def execute(self, job: Job, run: Run) -> Outcome:
        """Echo, or ask."""
        await run.started()
        run.write("stdout", job.code.encode())
        result = {"echo": job.code}
        first_line, _, _ = job.code.partition("\n")
        if first_line.startswith(ASK):
            try:
                result["answer"] = await run.complete(LLMRequest(prompt=first_line.removeprefix(ASK)))
            except LLMError as error:  # as in a script that does not catch it
                return Outcome(error=f"LLMError: {error}", error_type="script_error")
        return Outcome(result=result)
