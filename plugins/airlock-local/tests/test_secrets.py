"""A hostile script on a real server tries to get the project's secret out, through every channel that it has."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

SECRET = "k3y/with+all\"kinds'of\\chars é\nand a second line"
PIN = "9182736455"
CONFIG = """
store: {type: sqlite, path: s.db}
server: {log: {level: debug}}
projects:
  p:
    replicas: 1
    secrets: {KEY: {file: key}, PIN: {file: pin}}
    limits: {output: 2KiB}
    backend: local
"""


class Served(NamedTuple):
    url: str
    pid: int
    folder: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "airlock.yaml").write_text(CONFIG)
    (folder / "key").write_text(SECRET)
    (folder / "pin").write_text(PIN)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRLOCK_")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "airlock", "--port", "0", "--log-format", "json"],
            cwd=folder,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        with server:
            assert server.stderr is not None
            try:
                line = next(line for line in server.stderr if "Listening on" in line)
                yield Served(json.loads(line)["message"].split()[-1], server.pid, folder)
            finally:
                server.terminate()
                log.write(server.stderr.read())
    written = (folder / "log").read_text()
    assert "execution finished" in written
    assert leaks(written) == []


def run(served: Served, code: str, **more: Any) -> dict[str, Any]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        answer = client.post("/execute", params={"wait": 30}, json={"project": "p", "code": code, **more})
        result: dict[str, Any] = answer.json()
        while result["status"] == "awaiting_llm":
            assert leaks(answer.text) == []
            asked = {"response": "go on", "request_id": result["llm_request"]["id"]}
            client.post(f"/executions/{result['execution_id']}/respond", json=asked).raise_for_status()
            answer = client.get(f"/executions/{result['execution_id']}", params={"wait": 30})
            result = answer.json()
        assert leaks(answer.text) == []
        return result


def leaks(text: str) -> list[str]:
    forms = [
        PIN,
        *SECRET.split("\n"),
        SECRET[::-1],
        json.dumps(SECRET)[1:-1],
        repr(SECRET)[1:-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        *(base64.b64encode(b"x" * n + SECRET.encode()).decode()[4:-4] for n in range(3)),
        *(base64.urlsafe_b64encode(b"x" * n + SECRET.encode()).decode()[4:-4] for n in range(3)),
        base64.b64encode(SECRET.split("\n")[1].encode()).decode()[:-4],
    ]
    return [form for form in forms if form in text]


HEAD = """
import base64, json, os, subprocess, sys, time, urllib.parse
key = settings.get("KEY"); data = key.encode(); line = key.split("\\n")[1]
forms = [key, key[::-1], data.hex(), data.hex().upper(), json.dumps(key), repr([key]), repr(data), ascii(key),
         urllib.parse.quote(key), urllib.parse.quote_plus(key), urllib.parse.quote(key, safe=""), line,
         *(f(b"x" * n + data + b"yz") for f in (base64.b64encode, base64.urlsafe_b64encode) for n in range(3))]
forms = [form if isinstance(form, str) else form.decode() for form in forms]
"""


def test_the_script_itself_has_it(served: Served) -> None:
    code = "key = settings.get('KEY'); set_result([len(key), sum(map(ord, key)), 'KEY' in settings.keys()])"
    assert run(served, code, settings={"KEY": "the agent's"})["result"] == [len(SECRET), sum(map(ord, SECRET)), True]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_shows_no_form_of_it(served: Served, stream: str) -> None:
    result = run(served, HEAD + f"for form in forms:\n    print('<', form, '>', file=sys.{stream})")
    assert result[stream].count("[redacted]") >= 18


def test_bytes_that_come_one_by_one_show_nothing(served: Served) -> None:
    code = "\nfor form in forms[:3]:\n    for byte in (form + ' ').encode():\n        os.write(1, bytes([byte]))\n"
    assert run(served, f"{HEAD}{code}        time.sleep(0.001)")["stdout"].split() == ["[redacted]"] * 3


def test_the_event_stream_shows_nothing(served: Served) -> None:
    code = """
for form in forms:
    for half in (form[:7], form[7:], " "):
        print(half, end="", flush=True)
        time.sleep(0.02)
    llm.complete(form)
"""
    with httpx.Client(base_url=served.url, timeout=60) as client:
        created = client.post("/execute", json={"project": "p", "code": HEAD + code})
        there = f"/executions/{created.json()['execution_id']}"
        seen = ""
        with client.stream("GET", f"{there}/events") as events:
            for line in events.iter_lines():
                seen += f"{line}\n"
                if line == "event: llm_request":
                    number = seen.count(line)
                    httpx.post(f"{served.url}{there}/respond", json={"response": "go on", "request_id": number})
    told = [json.loads(line.removeprefix("data: ")) for line in seen.splitlines() if line.startswith("data: ")]
    assert told[-1]["status"] == "completed"
    assert leaks(seen) == leaks("".join(event.get("text", "") for event in told)) == []
    assert seen.count("[redacted]") > 30


def test_other_processes_of_the_script_show_nothing(served: Served) -> None:
    code = "\nsubprocess.run([sys.executable, '-c', 'import sys; print(sys.argv[1])', key], check=True)"
    assert run(served, HEAD + code)["stdout"] == "[redacted]\n"


def test_cuts_show_no_part_of_it(served: Served) -> None:
    for before in range(1700, 1850, 7):
        result = run(served, f"{HEAD}print('.' * {before} + line + '.' * 2000)")
        assert result["truncated"]
        assert "second" not in result["stdout"]


def test_results_memory_and_prompts_show_no_form_of_it(served: Served) -> None:
    code = """
set_result({"forms": forms, "keys": {form: [form] for form in forms}})
for number, form in enumerate(forms):
    memory.set("c", form, {form: form})
    memory.set(form.replace(".", ""), "k", number)
assert llm.complete("\\n".join(forms), model=line) == "go on"
"""
    result = run(served, HEAD + code)
    assert result["error"] is None
    assert all("[redacted]" in form for form in [*result["result"]["forms"], *result["result"]["keys"]])
    assert len(result["result"]["keys"]) == 15  # "forms" has three of them twice
    assert all("." in key and "[redacted]" in key for key in result["memory_updates"])


def test_numbers_are_found_by_their_digits(served: Served) -> None:
    code = "pin = int(settings.get('PIN')); set_result({pin: [pin, -pin, pin + 1]})"
    assert run(served, code)["result"] == {"[redacted]": ["[redacted]", "-[redacted]", int(PIN) + 1]}


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError(key)",
        "raise ValueError('x' * 1975 + line)",  # the line that is shown ends amid it
        "raise ValueError(' ' * 1985 + line)",  # what the worker tells ends amid it
        "raise ValueError('  '.join(line.split()))",
        "sys.exit(key)",
        "{}[key]",
        "llm.complete(key, model=line); raise LLMError(key)",
        "memory.set('c', 'k', {1: line, '1': line})",
        "set_result({line: 1j})",
        "set_result({'x' * 90 + line: 1j})",
        'exec(f\'def {line.replace(" ", "_")}(): 1/0\\n1/0  # {line}\')',
    ],
)
def test_errors_show_nothing_of_it(served: Served, code: str) -> None:
    result = run(served, f"{HEAD}{code}")
    assert result["status"] == "error"
    told = json.dumps(result)
    assert ("and a s" in told, "k3y/w" in told) == (False, False)


def test_nothing_of_the_server_holds_it(served: Served) -> None:
    run(served, HEAD + "print(key); set_result(key); raise ValueError(key)")
    with httpx.Client(base_url=served.url) as client:
        for path in ("/projects", "/openapi.json", "/executions", "/ready", "/health"):
            assert leaks(client.get(path).text) == []
    stored = [path.read_bytes().decode(errors="replace") for path in served.folder.glob("s.db*")]
    assert any("[redacted]" in text for text in stored)
    assert [found for text in stored for found in leaks(text)] == []
    for pid in descendants(served.pid):
        for name in ("cmdline", "environ"):
            try:
                shown = Path(f"/proc/{pid}/{name}").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            assert leaks(shown.decode(errors="replace")) == []


def descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found
