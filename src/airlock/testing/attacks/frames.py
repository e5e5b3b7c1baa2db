"""Scripts that speak the worker protocol themselves."""

from __future__ import annotations

import pytest

from .arena import IS_SOAK, Arena
from .canaries import Pool

FORGE = """
import json, os, struct
def frame(kind, body, size=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack("<IB", len(body) if size is None else size, ord(kind)) + body
def send(data):
    while data:
        data = data[os.write(3, data):]
"""
WAIT = "import time\ntime.sleep(60)"
VIOLATIONS = (
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
)
NOT_STRICT_JSON = (
    "b'NaN'",
    "b'[1e999]'",
    'b\'{"a": 1, "a": 2}\'',
    "b'\"\\\\ud800\"'",
    "b'[' * 500 + b']' * 500",
    "b'9' * 10_000",
    "b'\\xff'",
    "b''",
    "b'1 2'",
)
FILL = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        while True: os.write(3, b"\\1\\0\\0\\0R1")
time.sleep(0.1)
os._exit(5)
"""


@pytest.mark.anyio
class HostileFrames(Arena):
    """A script that breaks the protocol ends only itself, as `protocol`."""

    async def test_bytes_that_break_the_protocol_end_the_execution(self, pool: Pool) -> None:
        runs = await self.run_all(pool, [f"{FORGE}\nsend({data})\n{WAIT}" for data in VIOLATIONS])
        assert {code: ran.error_type for code, ran in runs.items()} == dict.fromkeys(runs, "protocol")
        assert await pool.result("set_result('next')") == "next"

    async def test_a_forged_result_that_is_not_strict_json_is_a_violation(self, pool: Pool) -> None:
        runs = await self.run_all(pool, [f"{FORGE}\nsend(frame('R', {body}))" for body in NOT_STRICT_JSON])
        causes = {code: (ran.error_type, ran.outcome.result) for code, ran in runs.items()}
        assert causes == dict.fromkeys(runs, ("protocol", None))

    async def test_whoever_forges_its_end_ends_only_itself(self, pool: Pool) -> None:
        async with self.beside(pool, "print(1)\nset_result(llm.complete('?'))") as neighbour:
            ran = await pool.run(f"{FORGE}\nset_result(1)\nsend(frame('E', {{'error': None}}))\n{WAIT}")
            assert ran.result == 1
            await pool.run(f"{FORGE}\nsend(frame('X', {{'code': 0}}))\n{WAIT}")  # unnoticed, it would time out
            assert (await neighbour).result == "default says ?"

    async def test_a_torn_frame_at_the_end_is_a_violation(self, pool: Pool) -> None:
        ran = await pool.run(f"{FORGE}\nsend(frame('R', b'1', size=1000))\nos._exit(0)")
        assert ran.error_type == "protocol"

    async def test_frames_in_single_bytes_are_understood(self, pool: Pool) -> None:
        ran = await pool.run(f"{FORGE}\nfor byte in frame('R', {{'a': 1}}): os.write(3, bytes([byte]))")
        assert ran.result == {"a": 1}

    async def test_a_hundred_thousand_results_cost_little(self, pool: Pool) -> None:
        assert await pool.result("for n in range(100_000): set_result(n)") == 99_999

    async def test_a_script_that_closes_its_channel_ends_with_an_error(self, pool: Pool) -> None:
        ran = await pool.run("import os\nos.close(3)")
        assert ran.error_type == "script_error"

    @pytest.mark.parametrize("how", ["SHUT_RDWR", "SHUT_WR"])
    async def test_a_script_that_shuts_its_channel_down_is_no_lost_worker(self, pool: Pool, how: str) -> None:
        ran = await pool.run(f"import os, socket\nsocket.socket(fileno=3).shutdown(socket.{how})\nos._exit(3)")
        assert ran.error_type in ("script_error", "protocol")

    async def test_a_script_that_fills_its_channel_and_exits_is_no_lost_worker(self, pool: Pool) -> None:
        causes = set()
        for _ in range(20 if IS_SOAK else 4):
            causes.add((await pool.run(FILL)).error_type)
            await pool.settle()
        assert causes == {"script_error"}

    async def test_a_child_of_the_script_cannot_speak_by_accident(self, pool: Pool) -> None:
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
        assert await pool.result(code) == 7
