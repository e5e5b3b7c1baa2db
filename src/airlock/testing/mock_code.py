"""Code for projects on the mock backend, which runs nothing."""

from __future__ import annotations


def code_that_asks(prompt: str) -> str:
    """Return code that pauses an execution of a mock project, as `awaiting_llm`, until it is answered.

    The answer completes the execution, with `{"echo": code, "answer": answer}` as the result.

    Raises ValueError if the prompt has more than one line.
    """
    if len(prompt.splitlines()) > 1:
        raise ValueError("a prompt of the mock backend is one line; this one has more")
    return f"# mock: ask {prompt}"
