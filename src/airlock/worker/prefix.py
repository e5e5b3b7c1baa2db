"""A virtual environment for scripts and the interpreters that they start: this Python, with the project's packages.

It is what `python -m venv` makes (see "How venvs work" in the documentation of `venv`), read-only, and active: its
`bin` is first on PATH, and `sys.executable` is in it.
"""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN_FLAGS = {"isolated": 0, "ignore_environment": 0, "no_user_site": 0, "no_site": 0, "safe_path": False}
PIP_COMMAND = "#!{python}\nfrom pip.__main__ import main\n\nmain()\n"


def layout(
    prefix: str, executable: str, version: tuple[int, int], site: str | None, *, with_systems: bool, own_pip: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Return its files (texts by path) and its symbolic links.

    `executable` is the interpreter, of `version`, `site` the folder with the project's packages. `with_systems` adds
    the packages beside the interpreter, `own_pip` a pip that lists packages.
    """
    name = f"python{version[0]}.{version[1]}"
    packages = f"{prefix}/lib/{name}/site-packages"
    shown = "true" if with_systems else "false"
    home = os.path.dirname(executable)
    files = {
        f"{prefix}/pyvenv.cfg": f"home = {home}\ninclude-system-site-packages = {shown}\nversion = {name[6:]}\n",
        f"{packages}/project.pth": "" if site is None else f"import site; site.addsitedir({site!r})\n",
    }
    if own_pip:
        for module in ("__init__.py", "__main__.py"):
            with open(os.path.join(os.path.dirname(__file__), "pip", module), encoding="utf-8") as file:
                files[f"{packages}/pip/{module}"] = file.read()
        files |= {f"{prefix}/bin/{each}": PIP_COMMAND.format(python=f"{prefix}/bin/python") for each in ("pip", "pip3")}
    links = {f"{prefix}/bin/python": executable, f"{prefix}/bin/python3": "python", f"{prefix}/bin/{name}": "python"}
    return files, links


def write(prefix: str, site: str) -> None:
    """Make one for this interpreter and the packages beside it, as root of an image that is built."""
    own_pip = not os.path.exists(f"{site}/pip")
    files, links = layout(prefix, sys.executable, sys.version_info[:2], site, with_systems=True, own_pip=own_pip)
    put(files, links)


def put(files: Mapping[str, str], links: Mapping[str, str], root: str = "") -> None:
    """Write small files (texts by path; commands can be executed) and make symbolic links, below `root`."""
    for path in (*files, *links):
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
    for path, text in files.items():
        with open(root + path, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o755 if text.startswith("#!") else 0o644)
    for path, target in links.items():
        os.symlink(target, root + path)


def enter(prefix: str) -> None:
    """Have this interpreter say that it is the one of that environment, as those that it starts are."""
    sys.executable = f"{prefix}/bin/python"
    sys.prefix = sys.exec_prefix = prefix
    _show_plain_flags()


def _show_plain_flags() -> None:
    """Say in `sys.flags` that this interpreter was started without `-I` and `-S`.

    Who starts another one passes them on (`subprocess._args_from_interpreter_flags`), as multiprocessing with `spawn`
    and loky do; with `-S`, that one finds no packages. The type of `sys.flags` makes no new objects, so a named tuple
    takes its place.
    """
    started = sys.flags
    values = {name: PLAIN_FLAGS.get(name, getattr(started, name)) for name in started.__match_args__}

    def others(_: object, name: str) -> Any:
        """Find what is no item of the tuple, such as `gil` since Python 3.13."""
        return getattr(started, name)

    items = namedtuple("flags", list(values))  # type: ignore[misc]  # the names depend on the version
    sys.flags = type("sys.flags", (items,), {"__slots__": (), "__getattr__": others})(**values)
