"""Code for projects on the mock backend, which runs nothing."""

from __future__ import annotations


def code_that_asks(prompt: str) -> str:
    """Return code with which an execution in a mock project pauses, as `awaiting_llm`, until it is answered.

    The answer completes it, with `{"echo": code, "answer": answer}` as the result.

    Raises ValueError when the prompt has more than one line.
    """
    if len(prompt.splitlines()) > 1:
        raise ValueError("the mock backend asks one line; this prompt has more")
    return f"# mock: ask {prompt}"
