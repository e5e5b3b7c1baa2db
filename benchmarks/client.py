"""Measures the size of airlock-client in an empty environment, and the time of its import and of a call."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uv import find_uv_bin

from airlock.testing.servers import served
from airlock_client import Airlock

ROOT = Path(__file__).parents[1]
CONFIG = "projects: {p: {backend: mock, replicas: 2}}\n"
IMPORTS = ("pass", "import airlock_client", "from airlock_client import Airlock")
CALLS = 500


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        python = install(folder)
        files = [path for path in (folder / "env" / "lib").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        compiled = sum(path.stat().st_size for path in files if path.suffix == ".pyc") / 1e6
        print(f"installed: {size - compiled:.1f} MB, and {compiled:.1f} MB of compiled bytecode")
        for statement in IMPORTS:
            print(f"{statement}: {min(duration(python, statement) for _ in range(10)):.3f} s")
        print_calls(folder)
    finally:
        shutil.rmtree(folder)


def install(folder: Path) -> Path:
    """Return the interpreter of an environment that has only the client and its dependencies, compiled as by pip."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    python = folder / "env" / "bin" / "python"
    uv = find_uv_bin()
    build = (uv, "build", "--quiet", "--wheel", "--out-dir", str(folder / "wheels"), str(ROOT / "client"))
    venv = (uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env"))
    install = (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python))
    for command in (build, venv):
        subprocess.run(command, env=environ, check=True)
    [wheel] = (folder / "wheels").glob("*.whl")
    pinned = ("--constraint", str(ROOT / "constraints.txt"))
    subprocess.run((*install, *pinned, str(wheel)), env=environ, check=True)
    return python


def duration(python: Path, statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([python, "-c", statement], check=True)
    return time.perf_counter() - began


def print_calls(folder: Path) -> None:
    (folder / "airlock.yaml").write_text(CONFIG)
    with served(folder) as (_, http), Airlock(str(http.base_url)) as client:
        execution_id = client.submit("hi", project="p")
        client.get(execution_id, wait=10)
        wall, cpu = [], []
        for _ in range(10):
            began, used = time.perf_counter(), time.process_time()
            for _ in range(CALLS):
                client.get(execution_id)
            wall.append((time.perf_counter() - began) / CALLS)
            cpu.append((time.process_time() - used) / CALLS)
    print(f"Airlock.get: {min(wall) * 1e6:.0f} us (median {statistics.median(wall) * 1e6:.0f})")
    print(f"Airlock.get, CPU of the client: {min(cpu) * 1e6:.0f} us (median {statistics.median(cpu) * 1e6:.0f})")


if __name__ == "__main__":
    main()
