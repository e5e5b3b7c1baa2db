"""The first code of a box, given to `python -I -S -c`. The sources of the rest come with the configuration.

So a box needs no file of the server, finds none of its paths, and works wherever the server's packages lie.
"""

from __future__ import annotations

import json
import socket
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType


class Sources:
    """Imports modules from the texts that the server sent."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find what was sent."""
        if name not in self._texts:
            return None
        is_package = any(other.startswith(f"{name}.") for other in self._texts)
        return ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make it."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the text as the module."""
        name = module.__name__
        exec(compile(self._texts[name], f"<{name}>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102


def main() -> None:
    """Read the configuration, import the zygote, forget where it came from, and be it."""
    control = socket.socket(fileno=int(sys.argv[1]))
    with open(int(sys.argv[2]), "rb") as file:
        config: dict[str, Any] = json.load(file)
    finder = Sources(config.pop("sources"))
    sys.meta_path.insert(0, finder)
    from airlock_local.sandbox import zygote  # noqa: PLC0415 - now it can be found

    sys.meta_path.remove(finder)
    for name in [name for name in sys.modules if name.split(".")[0] in {"airlock", "airlock_local"}]:
        del sys.modules[name]  # a script's `import airlock` gets what `names` of the worker provides
    sys.argv = [""]
    zygote.main(control, config)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
