"""The same tests once more, as a user without any rights: one code path serves both kinds of start."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airlock.testing import missing

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
UID = 65_533
NEWNS, BIND, REC, PRIVATE = 0x20000, 4096, 16384, 1 << 18


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        missing("root", "only root can become another user; the other tests run as this one already")


@pytest.mark.parametrize(
    "name",
    [
        "contract",
        "attacks",
        "straight_path",
        "confinement",
        "recovery",
        "preload",
        "refusals",
        "selftest",
        "mutations",
    ],
)
def test_it_holds_for_an_ordinary_user(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    needed = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable)), home]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / f"test_{name}.py")],
        cwd=REPOSITORY,
        preexec_fn=lambda: become(UID, needed),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def become(uid: int, needed: list[Path]) -> None:
    """Become that user, in a mount namespace where `needed` can be reached even if it lies below a 0700 directory."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
        texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
        if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) != 0:
            raise OSError(ctypes.get_errno(), f"mount {source} on {target}")

    if libc.unshare(NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", None, REC | PRIVATE)
    mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755")
    staged: dict[Path, Path] = {}
    for path in dict.fromkeys(needed):
        if any(not parent.stat().st_mode & 0o001 for parent in path.parents):
            place = Path(f"/mnt/{len(staged)}")
            make_place(path, place)
            mount(str(path), str(place), None, BIND | REC)
            staged[path] = place
    blocked = {next(p for p in reversed(path.parents) if not p.stat().st_mode & 0o001) for path in staged}
    for parent in blocked:
        mount("tmpfs", str(parent), "tmpfs", 0, "mode=755")
    for path, place in staged.items():
        make_place(place, path)
        mount(str(place), str(path), None, BIND | REC)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def make_place(like: Path, path: Path) -> None:
    """Make an empty directory or file to mount on."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if like.is_dir():
        path.mkdir()
    else:
        path.touch()
