"""The `pip` of a sandbox: it lists what is installed. For what needs a network, it says where packages come from."""

from __future__ import annotations

import json
import sys
from importlib import metadata

NO_NETWORK = (
    "ERROR: this project has no network, so pip installs nothing here. "
    "The operator adds packages with the key `packages:` of the project in airlock.yaml."
)


def main() -> None:
    """Do what `pip list`, `freeze` and `show` do. Everything else ends with exit code 1."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    command, names = (words[0] if words else "list"), {word.lower().replace("_", "-") for word in words[1:]}
    # by name, each as it is imported: the first one on sys.path
    found = {each.metadata["Name"].lower().replace("_", "-"): each for each in reversed(list(metadata.distributions()))}
    packages = [found[name] for name in sorted(found)]
    if {"--version", "-V"} & {*sys.argv}:
        print(f"pip of Airlock's sandbox, which only lists (python {sys.version_info[0]}.{sys.version_info[1]})")  # noqa: T201
    elif command == "list" and "--format=json" in sys.argv:
        print(json.dumps([{"name": each.metadata["Name"], "version": each.version} for each in packages]))  # noqa: T201
    elif command == "list":
        print(f"{'Package':<24} Version\n{'-' * 24} {'-' * 10}")  # noqa: T201
        for each in packages:
            print(f"{each.metadata['Name']:<24} {each.version}")  # noqa: T201
    elif command == "freeze":
        for each in packages:
            print(f"{each.metadata['Name']}=={each.version}")  # noqa: T201
    elif command == "show" and names <= {*found}:
        for name in sorted(names):
            for key in ("Name", "Version", "Summary", "Home-page", "License"):
                print(f"{key}: {found[name].metadata.get_all(key, [''])[0]}")  # noqa: T201
    elif command == "show":
        sys.exit(f"ERROR: not installed: {', '.join(sorted(names - {*found}))}")
    else:
        sys.exit(NO_NETWORK)


if __name__ == "__main__":
    main()
