"""Where a script finds its names: among the builtins, so that its helper modules have them too, and as modules.

They stay there until the next script of this process; values are only replaced, which keeps what the interpreter has
learned of the builtins in code that ran before.
"""

from __future__ import annotations

import builtins
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

AIRLOCK = ModuleType("airlock", "What a script finds: settings, memory, llm, LLMError and set_result.")
AIRLOCK.__spec__ = ModuleSpec("airlock", None, origin="the sandbox")


class LastFinder:
    """Finds `llm` where no package and no file beside the script has that name: PyPI has an `llm`, too."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find it."""
        return ModuleSpec(name, LastFinder, origin="the sandbox") if name == "llm" else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Let the import system make it."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Give it what `llm` has."""
        module.__dict__.update(complete=AIRLOCK.llm.complete, LLMError=AIRLOCK.LLMError)


def provide(**names: Any) -> None:
    """Provide these names. Ours is the only `airlock`, whatever is installed."""
    builtins.__dict__.update(names)
    AIRLOCK.__dict__.update(names, __all__=list(names))
    sys.modules["airlock"] = AIRLOCK
    if LastFinder not in sys.meta_path:
        sys.meta_path.append(LastFinder)
