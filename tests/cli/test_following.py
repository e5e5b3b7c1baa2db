"""`airlock run` shows output as it comes, and a signal ends it with nothing left behind."""

import signal
import time
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE, Processes, start, stderr_until

pytestmark = pytest.mark.usefixtures("scripted_folder")


def test_output_is_shown_while_the_script_runs(processes: Processes) -> None:
    process = start(processes, "say now\nsleep 600")
    stderr_until(process, b"now\n")
    assert process.poll() is None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_the_run_and_leaves_nothing_behind(
    processes: Processes, number: signal.Signals, code: int
) -> None:
    process = start(processes, "say now\nsleep 600")
    stderr_until(process, b"now\n")
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, stderr) == (code, b"", b"error: interrupted\n")
    assert not Path(f"/proc/{child}").exists()


def test_impatient_ctrl_c_leaves_nothing_behind_either(processes: Processes) -> None:
    process = start(processes, "say now\nsleep 600")
    stderr_until(process, b"now\n")
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    assert process.returncode in (130, -signal.SIGINT)  # the last one may come when all is done
    assert not Path(f"/proc/{child}").exists()


def test_ctrl_c_while_the_project_starts_leaves_nothing_behind(processes: Processes) -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: {type: scripted, start: 600}}}\n")
    process = start(processes, "say now")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    give_up = time.monotonic() + PATIENCE
    while not children.read_text() and time.monotonic() < give_up:
        time.sleep(0.01)
    [child] = children.read_text().split()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert not Path(f"/proc/{child}").exists()
