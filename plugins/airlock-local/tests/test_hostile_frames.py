"""Scripts that speak the worker protocol themselves, and values that no JSON parser likes."""

import os
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

FORGE = """
import json, os, struct
def frame(kind, body, size=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack("<IB", len(body) if size is None else size, ord(kind)) + body
def send(data):
    while data:
        data = data[os.write(3, data):]
"""


@pytest.mark.parametrize(
    "bytes_",
    [
        "b'\\xff' * 5 + os.urandom(100_000)",
        "frame('E', b'1', size=1 << 31)",
        "frame('Z', 1)",
        "frame('S', None)",
        "frame('J', {'code': 'x'})",
        "frame('A', {'id': 1, 'answer': 'x'})",
        "frame('E', [])",
        "frame('E', {'error': 1})",
        "frame('E', {'error': None, 'more': 1})",
        "frame('X', {'code': 'x'})",
        "frame('X', {'code': 10 ** 9})",
        "frame('M', ['no dot', 1])",
        "frame('M', {'a.b': 1})",
        "frame('L', {'id': 2, 'prompt': 'x', 'model': 'x'})",
        "frame('L', {'id': True, 'prompt': 'x', 'model': 'x'})",
        "frame('L', {'id': 1, 'prompt': 1, 'model': 'x'})",
        'frame(\'L\', b\'{"id": 1, "id": 1, "prompt": "x", "model": "x"}\')',
        "frame('L', {'id': 1, 'prompt': 'x', 'model': 'x' * 1000})",
        "frame('M', b'[' * 50_000)",
        "frame('M', b'\\xff\\xfe')",
        "frame('M', b'')",
    ],
)
async def test_bytes_that_break_the_protocol_end_the_execution(local: Any, bytes_: str) -> None:
    ran = await local.run(f"{FORGE}\nsend({bytes_})\nimport time\ntime.sleep(60)")
    assert ran.error_type == "protocol"
    assert ran.seconds < 5
    assert await local.result("set_result('next')") == "next"


@pytest.mark.parametrize(
    "body",
    [
        "b'NaN'",
        "b'[1e999]'",
        'b\'{"a": 1, "a": 2}\'',
        "b'\"\\\\ud800\"'",
        "b'[' * 400 + b']' * 400",
        "b'9' * 10_000",
        "b'\\xff'",
        "b''",
        "b'1 2'",
    ],
)
async def test_a_forged_result_that_is_not_strict_json_is_a_violation(local: Any, body: str) -> None:
    ran = await local.run(f"{FORGE}\nsend(frame('R', {body}))")
    assert (ran.error_type, ran.outcome.result) == ("protocol", None)


async def test_whoever_forges_its_end_ends_only_itself(make_local: Any) -> None:
    local = await make_local(replicas=2)
    neighbour, _ = local.start("import time\ntime.sleep(0.5)\nset_result('unharmed')")
    ran = await local.run(f"{FORGE}\nset_result(1)\nsend(frame('E', {{'error': None}}))\nimport time\ntime.sleep(60)")
    assert ran.result == 1
    forged = await local.run(f"{FORGE}\nsend(frame('X', {{'code': 0}}))\nimport time\ntime.sleep(60)")
    assert forged.seconds < 5
    assert (await neighbour).result == "unharmed"


async def test_a_torn_frame_at_the_end_is_a_violation(local: Any) -> None:
    ran = await local.run(f"{FORGE}\nsend(frame('R', b'1', size=1000))\nos._exit(0)")
    assert ran.error_type == "protocol"


async def test_frames_in_single_bytes_are_understood(local: Any) -> None:
    ran = await local.run(f"{FORGE}\nfor byte in frame('R', {{'a': 1}}): os.write(3, bytes([byte]))")
    assert ran.result == {"a": 1}


async def test_a_hundred_thousand_results_cost_little(local: Any) -> None:
    ran = await local.run("for n in range(100_000): set_result(n)")
    assert ran.result == 99_999


async def test_a_script_that_closes_its_channel_ends_with_an_error(local: Any) -> None:
    ran = await local.run("import os\nos.close(3)")
    assert ran.error_type == "script_error"


async def test_a_child_of_the_script_cannot_speak_by_accident(local: Any) -> None:
    code = """
import os
if os.fork() == 0:
    try:
        set_result("child")
    except RuntimeError:
        os._exit(7)
    os._exit(0)
set_result(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert await local.result(code) == 7


async def test_descriptors_sent_to_the_server_are_not_taken(local: Any) -> None:
    code = (
        f"{FORGE}\nimport socket\ns = socket.socket(fileno=os.dup(3))\nsocket.send_fds(s, [frame('R', 1)], [0, 1, 2])"
    )
    await local.result(code)
    await local.settle()
    before = os.listdir("/proc/self/fd")
    for _ in range(30):
        await local.result(code)
    await local.settle()
    assert len(os.listdir("/proc/self/fd")) < len(before) + 30  # some are of cgroups that are kept for use again


@pytest.mark.parametrize(
    "value",
    [
        "float('nan')",
        "[float('inf')]",
        "{1, 2}",
        "object()",
        "b'bytes'",
        "{('a', 'b'): 1}",
        "'\\ud800'",
        "cycle",
        "deep",
        "10 ** 5000",
    ],
)
@pytest.mark.parametrize("how", ["set_result({})", "memory.set('a', 'b', {})"])
async def test_a_value_without_json_form_is_the_scripts_error(local: Any, how: str, value: str) -> None:
    code = f"""
cycle = []; cycle.append(cycle)
deep = []
for _ in range(100_000): deep = [deep]
{how.format(value)}
"""
    ran = await local.run(code)
    assert ran.error_type == "script_error"
    assert (ran.outcome.result, ran.outcome.memory_updates) == (None, {})


async def test_a_value_nested_too_deep_for_clients_is_refused(local: Any) -> None:
    ran = await local.run("deep = 1\nfor _ in range(500): deep = [deep]\nset_result(deep)")
    assert (ran.error_type, ran.outcome.error) == (
        "script_error",
        "ValueError: set_result: nested deeper than 100 levels",
    )


async def test_a_value_nested_too_deep_that_comes_past_the_sdk_is_a_violation(local: Any) -> None:
    ran = await local.run(f"{FORGE}\nsend(frame('R', b'[' * 500 + b']' * 500))")
    assert ran.error_type == "protocol"


@pytest.mark.parametrize(
    "code",
    [
        "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
        "class E(Exception):\n    def __str__(self): return 'x' * 100_000_000\nraise E",
        "class E(BaseException): pass\nraise E('\\ud800 \\n \\0 \\x1b[31m')",
        "raise ExceptionGroup('g', [ValueError(n) for n in range(1000)])",
        "e = ValueError(1)\nfor n in range(5000):\n    n = ValueError(n); n.__cause__ = e; e = n\nraise e",
        "import sys\nsys.stderr = None\n1 / 0",
        "import sys\nsys.stdout.close(); sys.stderr.close()\n1 / 0",
        "import sys\nsys.excepthook = None\nsys.modules.clear()\n1 / 0",
        "import traceback\ntraceback.TracebackException = None\n1 / 0",
        "raise SystemExit(type('S', (), {'__str__': lambda s: 1 / 0})())",
    ],
)
async def test_a_hostile_exception_is_one_readable_line(local: Any, code: str) -> None:
    ran = await local.run(code)
    assert ran.error_type == "script_error"
    assert len(ran.error) <= 2_000
    assert ran.error.isprintable()
    ran.error.encode()


@pytest.mark.parametrize(
    "code", ["\0", "print(1)\0", "# coding: utf-7\n1", "(" * 100_000, "x" * 1_000_000, "\ud7ff", ""]
)
async def test_source_text_of_any_kind_ends(local: Any, code: str) -> None:
    ran = await local.run(code)
    assert ran.error_type in (None, "script_error")


@pytest.mark.parametrize(
    "tampering",
    [
        "import builtins\nbuiltins.len = None",
        "import json\njson.dumps = json.loads = None",
        "import sys\nsys.modules.clear()",
    ],
)
async def test_tampering_with_modules_hurts_only_the_script(local: Any, tampering: str) -> None:
    ran = await local.run(f"{tampering}\nset_result(1)")
    assert ran.error_type in (None, "script_error")
    assert await local.result("import json\nset_result(len(json.dumps(1)))") == 1
