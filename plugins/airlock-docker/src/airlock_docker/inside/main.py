"""The first code in a container: `python3 -I main.py CONFIG`. Imports the supervisor, and hides where it came from."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Be the supervisor."""
    home = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, home)
    from airlock_docker.inside import supervisor  # noqa: PLC0415 - now it can be found

    sys.path.remove(home)
    for name in [name for name in sys.modules if name.split(".")[0] in {"airlock", "airlock_docker"}]:
        del sys.modules[name]  # a script's `import airlock` gets what `names` of the worker provides
    config = json.loads(sys.argv[1])
    sys.argv = [""]
    with open(os.path.join(home, "filter.bpf"), "rb") as file:
        supervisor.main(config, file.read())


if __name__ == "__main__":
    main()
