"""The part of `BackendContract` about the end of a script: what CPython waits for and runs at its exit happens."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.canary import Canary
from airlock.testing.backend.capabilities import needs
from airlock.testing.recording import RecordingRun

UNRULY = {
    "registers itself again": "import atexit\ndef f(): print(1); atexit.register(f)\natexit.register(f)",
    "raises at exit": "import atexit, sys\natexit.register(sys.exit, 3)\natexit.register(lambda: 1 / 0)",
    "hooks that raise": "import sys\nsys.excepthook = sys.unraisablehook = None\nsys.stdout = 3\n1 / 0",
    "flush that raises": "import sys\nclass S:\n    def flush(self): raise KeyboardInterrupt\nsys.stdout = S()",
    "closed streams": "import os\nfor n in range(3): os.close(n)\nprint('x')",
    "closed frame socket": "import os\nos.close(3)",
    "no modules": "import sys, threading\nsys.modules.clear()",
    "another main": "import sys\nsys.modules['__main__'] = sys.modules['threading'] = 5",
    "little recursion": "import sys\nsys.setrecursionlimit(50)\ndef f(): f()\nf()",
    "signal at the end": "import signal\nsignal.signal(signal.SIGALRM, lambda *_: 1 / 0)\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)",
    "many threads": "import threading\nfor n in range(20): threading.Thread(target=print).start()",
    "object that comes back": "class A:\n    def __del__(self): global a; a = self\na = A()",
}
ENDLESS = {
    "thread": "import threading\nthreading.Thread(target=threading.Event().wait).start()",
    "exit function": "import atexit\ndef f():\n    while True: pass\natexit.register(f)",
    "flush": "import sys\nclass S:\n    def flush(self):\n        while True: pass\nsys.stdout = S()",
    "destructor": "class A:\n    def __del__(self):\n        while True: pass\na = A()",
    "exception hook": "import sys\ndef hook(*_):\n    while True: pass\nsys.excepthook = hook\n1 / 0",
}


@pytest.mark.anyio
class ScriptEnd(BackendBench):
    """What counts after a script's last line, and what ends with the script."""

    @needs("runs_code", "python_main")
    async def test_what_threads_and_exit_functions_do_counts(self, shared: Backend[Any]) -> None:
        code = """
import atexit, concurrent.futures, logging.handlers, sys, threading, time
atexit.register(lambda: set_result([memory.get('from', 'thread'), memory.get('from', 'pool')]))
kept = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))
logging.getLogger().addHandler(kept)
def work():
    time.sleep(0.1)
    memory.set('from', 'thread', llm.complete('?'))
threading.Thread(target=work).start()
concurrent.futures.ThreadPoolExecutor().submit(lambda: (time.sleep(0.1), memory.set('from', 'pool', 1)))
logging.warning('flushed')
"""
        outcome, run = await self.run(shared, code, answers=["answer"])
        assert (outcome.error, outcome.result) == (None, ["answer", 1]), run.stderr
        assert run.stdout == "flushed\n"

    @needs("runs_code", "python_main")
    async def test_daemon_thread_does_not_outlive_the_script(self, shared: Backend[Any]) -> None:
        code = (
            "import threading as t, time; t.Thread(target=time.sleep, args=(600,), daemon=True).start(); set_result(1)"
        )
        assert await self.result_of(shared, code) == 1

    @needs("runs_code", "python_main")
    async def test_globals_are_cleared(self, shared: Backend[Any]) -> None:
        code = """
import ctypes, io, sys
out = io.TextIOWrapper(io.FileIO(1, 'w', closefd=False))
out.write('file, ')
class Object:
    def __del__(self): set_result([sys.modules.get('__main__'), len('intact')])
kept = Object()
def generator():
    try: yield
    finally: print('generator, ', end='')
unfinished = generator(); next(unfinished)
ctypes.CDLL(None).printf(b'C')
"""
        outcome, run = await self.run(shared, code)
        assert (outcome.error, outcome.result) == (None, [None, 6]), run.stderr
        assert (run.stdout, run.stderr) == ("file, generator, C", "")

    @needs("runs_code", "python_main")
    async def test_hooks_for_exceptions_are_called(self, shared: Backend[Any]) -> None:
        code = """
import sys, threading
seen = []
threading.excepthook = lambda args: seen.append(args.exc_type.__name__)
sys.unraisablehook = lambda args: seen.append(args.exc_type.__name__)
class Object:
    def __del__(self): {}['missing']
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
Object()
def hook(kind, error, lines):
    set_result([*seen, kind.__name__, lines.tb_frame.f_code.co_name, sys.last_value is error])
sys.excepthook = hook
raise ValueError('no')
"""
        outcome, run = await self.run(shared, code)
        assert (outcome.error, run.stderr) == ("ValueError: no", "")
        assert outcome.result == ["ZeroDivisionError", "KeyError", "ValueError", "<module>", True]

    @needs("runs_code", "python_main")
    async def test_text_of_an_exit_is_on_stderr(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, "import sys; sys.exit('é' * 3000)")
        assert run.stderr == "é" * 3000 + "\n"
        assert (outcome.error or "").startswith("SystemExit: éé")

    @needs("runs_code", "python_main")
    async def test_interrupt_is_raised_in_the_main_thread(self, shared: Backend[Any]) -> None:
        code = """
import _thread, signal, threading, time
threading.Timer(0.1, _thread.interrupt_main).start()
try:
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    set_result('interrupted')
signal.raise_signal(signal.SIGINT)
"""
        outcome, run = await self.run(shared, code)
        assert (outcome.error, outcome.result) == ("KeyboardInterrupt", "interrupted")
        assert run.stderr.endswith("KeyboardInterrupt\n")

    @needs("runs_code", "python_main", "subprocesses")
    async def test_processes_of_multiprocessing_are_joined(self, shared: Backend[Any]) -> None:
        code = """
import multiprocessing, time
def work(number):
    time.sleep(0.1)
    print('child', number)
for number in range(2):
    multiprocessing.get_context('fork').Process(target=work, args=(number,)).start()
"""
        outcome, run = await self.run(shared, code)
        assert outcome.error is None, run.stderr
        assert sorted(run.stdout.splitlines()) == ["child 0", "child 1"]

    @needs("runs_code", "python_main", "subprocesses")
    async def test_forked_child_ends_as_a_script_does(self, shared: Backend[Any]) -> None:
        code = """
import atexit, os, sys
atexit.register(print, 'exit function')
codes = []
for how in range(4):
    child = os.fork()
    if child == 0: break
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    set_result(codes)
    os._exit(0)
if how == 1: raise ValueError('of a child')
if how == 2: raise KeyboardInterrupt
if how == 3: sys.exit('text of a child')
"""
        outcome, run = await self.run(shared, code)
        assert (outcome.error, outcome.result) == (None, [0, 1, -2, 1]), run.stderr
        assert run.stdout == "exit function\n" * 4
        assert "ValueError: of a child\n" in run.stderr
        assert run.stderr.endswith("\ntext of a child\n")

    @needs("runs_code", "python_main", "subprocesses")
    async def test_children_that_are_left_end_with_the_script(self, shared: Backend[Any]) -> None:
        canary = Canary()
        code = f"""
import atexit, os, time
if os.fork() == 0:
    {canary.code}
    time.sleep(600)
atexit.register(lambda: set_result(llm.complete('seen?')))
"""
        await self.check_that_it_dies(shared, canary, code)

    @needs("runs_code", "python_main")
    @pytest.mark.parametrize("code", UNRULY.values(), ids=UNRULY)
    async def test_unruly_end_is_an_end(self, shared: Backend[Any], code: str) -> None:
        outcome, _ = await self.run(shared, code)
        assert outcome.error_type in (None, "script_error")

    @needs("runs_code", "python_main")
    @pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS)
    async def test_script_that_will_not_end_after_its_last_line_is_ended(self, shared: Backend[Any], code: str) -> None:
        run = RecordingRun(["go on"])
        running = self.begin(shared, f"print('so far')\nllm.complete('?')\n{code}", run)
        await self.until(running, run, lambda run: run.requests)
        await self.cancelled(running)
        assert run.stdout == "so far\n"
