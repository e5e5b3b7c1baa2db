"""The part of `BackendContract` for backends that run CPython: the script is a file, as with `python main.py`."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

SPAWN = """
import multiprocessing, pickle, sys
from concurrent.futures import ProcessPoolExecutor

class Point:
    def __init__(self, x):
        self.x = x

def square(point):
    return Point(point.x ** 2)

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        print([point.x for point in pool.map(square, map(Point, range(3)))])
    print(type(pickle.loads(pickle.dumps(Point(1)))) is Point)
"""

STACKS = """
import atexit, logging, traceback

def names(frames):
    return [frame.name for frame in frames]

def inner():
    return names(traceback.extract_stack())

set_result([inner(), names(traceback.StackSummary.extract(traceback.walk_stack(None))), str(copyright)[:9]])
logging.error("%d", "text")
atexit.register(lambda: traceback.print_stack())
"""


@pytest.mark.anyio
class MainFile(BackendBench):
    """`__file__`, its folder, its source, and what reads all of these."""

    @needs("runs_code", "python_main")
    async def test_script_is_main_py_in_the_working_folder(self, shared: Backend[Any]) -> None:
        code = """
import inspect, linecache, os, sys

class Tool:
    pass

path = os.path.join(os.getcwd(), "main.py")
set_result([
    (__file__, sys.argv, sys.path[0], os.getcwd()) == (path, [path], os.getcwd(), "/workspace"),
    (__name__, __spec__, __package__, __cached__) == ("__main__", None, None, None),
    sys.modules["__main__"].__dict__ is globals(),
    inspect.getsource(Tool), linecache.getline(__file__, 2),
    sorted(os.listdir()), os.listdir("/tmp"),
])
"""
        source = ["class Tool:\n    pass\n", "import inspect, linecache, os, sys\n"]
        assert await self.result_of(shared, code) == [True, True, True, *source, ["main.py"], []]

    @needs("runs_code", "python_main")
    async def test_modules_that_a_script_writes_beside_it_can_be_imported(self, shared: Backend[Any]) -> None:
        code = """
import os
os.mkdir("package")
open("package/__init__.py", "w").close()
with open("package/part.py", "w") as file: file.write("NAME = __name__")
with open("beside.py", "w") as file: file.write("def add(a, b): return a + b")
import beside
from package import part
set_result([beside.add(2, 3), part.NAME])
"""
        assert await self.result_of(shared, code) == [5, "package.part"]

    @needs("runs_code", "python_main")
    @pytest.mark.parametrize(
        ("code", "told"),
        [
            ("x = 1\nif x\n    y = 2", '  File "/workspace/main.py", line 2\n    if x\n        ^\nSyntaxError: '),
            (
                "print('a') +",
                "  File \"/workspace/main.py\", line 1\n    print('a') +\n                ^\nSyntaxError: ",
            ),
            ("# coding: nonsense\n1", "SyntaxError: "),
            ("x = '\0'", "null bytes"),  # a ValueError before CPython 3.11.4
            (
                "import threading\ndef work(): 1 / 0\nthread = threading.Thread(target=work)\nthread.start()",
                'main.py", line 2, in work\n    def work(): 1 / 0\n',
            ),
        ],
        ids=["line", "last line", "encoding", "null", "thread"],
    )
    async def test_errors_show_their_line(self, shared: Backend[Any], code: str, told: str) -> None:
        _, run = await self.run(shared, code)
        assert told in run.stderr

    @needs("runs_code", "python_main")
    async def test_stacks_end_in_the_script(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, STACKS)
        assert outcome.result == [["<module>", "inner"], ["<module>"], "Copyright"]
        assert 'Call stack:\n  File "/workspace/main.py", line 11, in <module>\n' in run.stderr
        assert "airlock" not in run.stderr

    @needs("runs_code", "python_main")
    async def test_declared_encoding_is_that_of_the_file(self, shared: Backend[Any]) -> None:
        code = "# -*- coding: latin-1 -*-\nset_result(['é', open(__file__, encoding='latin-1').read()[-4:]])  # é"
        assert await self.result_of(shared, code) == ["é", " # é"]

    @needs("runs_code", "python_main", "subprocesses")
    async def test_processes_can_be_spawned(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, SPAWN)
        assert (outcome.error, run.stdout, run.stderr) == (None, "[0, 1, 4]\nTrue\n", "")

    @needs("runs_code", "python_main")
    async def test_script_that_removes_its_file_goes_on(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, "import os\nos.remove(__file__)\nprint('on')\n1 / 0")
        assert (outcome.error, run.stdout) == ("ZeroDivisionError: division by zero", "on\n")
        assert 'File "/workspace/main.py", line 4' in run.stderr
