"""An agent: a model writes Python, Airlock runs it, and the model sees the outcome, until it has the answer.

    python examples/agent.py "COMMAND" "QUESTION" [PROJECT]

COMMAND is any program that reads a prompt from stdin and writes the model's answer to stdout.
"""

import re
import shlex
import subprocess
import sys

from airlock.client import Airlock

TASK = """Write one Python script, in a ``` block, that finds the answer to: {question}
Call set_result(answer) with it. llm.complete(prompt) asks a model. You will see what the script prints."""


def main(command: str, question: str, project: str = "python") -> None:
    def ask(prompt: str) -> str:
        return subprocess.run(shlex.split(command), input=prompt, stdout=subprocess.PIPE, text=True, check=True).stdout

    story = TASK.format(question=question)
    with Airlock() as airlock:  # $AIRLOCK_URL and $AIRLOCK_API_KEY
        for _ in range(8):
            reply = ask(story)
            script = re.search(r"```(?:python)?\n(.*?)```", reply, re.DOTALL)
            if script is None:
                sys.exit(f"the model wrote no script: {reply}")
            run = airlock.run(script[1], project=project, llm=lambda request: ask(request.prompt))
            if run.is_completed and run.result is not None:
                return print(run.result)
            ended = f"It ended: {run.status.value} {run.error or ''}\n{run.stdout}{run.stderr}"
            story += f"\n\n{reply}\n\n{ended}\nTry again."
    sys.exit("no answer after 8 scripts")


if __name__ == "__main__":
    main(*sys.argv[1:])
