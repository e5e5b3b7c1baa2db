"""Compiles template.c into the wheel where there is a C compiler; without one, the same loop runs in Python."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/airlock_local/sandbox")
FLAGS = ("-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror")


class CompileTemplate(BuildHookInterface):
    """Runs before a wheel is built, and before an editable one is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Leave the library beside its source, and give the wheel the tag of the machine that it is for."""
        source, library = (Path(self.root) / FOLDER / f"template.{kind}" for kind in ("c", "so"))
        library.unlink(missing_ok=True)
        if (compiler := shutil.which("cc")) is None:
            self.app.display_warning("airlock-local: no C compiler (cc): sandboxes are used again by a loop in Python")
            return
        subprocess.run([compiler, *FLAGS, "-o", library, source], check=True)
        build_data["artifacts"].append(f"/{FOLDER / library.name}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
