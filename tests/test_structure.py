"""The layout that newcomers rely on: who may import whom, no circular imports, and short files."""

import ast
import statistics
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "airlock"
CLIENT = ROOT / "client" / "src" / "airlock_client"  # a distribution of its own

GROUND = "ground"  # the files on top of the package
BELOW_RUNNING = {GROUND, "logs", "secrets", "backends", "llm", "stores", "plugins"}
BELOW_GATEWAY = {*BELOW_RUNNING, "config", "running"}
BELOW_HTTP = {*BELOW_GATEWAY, "gateway"} - {"backends", "llm", "secrets"}

# Which rooms a room may import, for the type checker too. New files need no line here, new rooms do.
MAY_IMPORT: dict[str, set[str]] = {
    GROUND: set(),
    "logs": set(),
    "worker": set(),
    "secrets": {GROUND},
    "stores": {GROUND},
    "backends": {GROUND},
    "llm": {GROUND, "backends"},
    "sandbox": {GROUND, "backends", "worker"},
    "plugins": {GROUND, "backends", "llm", "stores"},
    "config": BELOW_RUNNING,
    "running": BELOW_RUNNING,
    "gateway": BELOW_GATEWAY,
    "http": BELOW_HTTP,
    "api": {GROUND, "http", "config", "plugins"},
    "cli": {*BELOW_GATEWAY, "gateway", "http", "api", "client"},
    "__main__": {"cli"},
    "client": {GROUND},
    "testing": {GROUND, "backends", "llm", "stores", "plugins", "sandbox", "worker"},
}
MODULES = {
    ".".join(("airlock", *path.relative_to(CORE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(CORE.rglob("*.py"))
}
FRONT_DOOR = "airlock"  # re-exports names of many rooms, and belongs to none


def room_of(module: str) -> str:
    """Return the room of a module: its folder, or the ground; `api` and `__main__` are their own rooms."""
    first = module.split(".")[1]
    is_room = (CORE / first).is_dir() or first in ("api", "__main__")
    return first if is_room else GROUND


def imports_of(module: str, modules: dict[str, Path] = MODULES) -> Iterator[str]:
    """Yield those of `modules` that a module imports, including imports for types and inside functions."""
    path = modules[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            if origin in modules:
                for alias in node.names:
                    name = f"{origin}.{alias.name}"
                    yield name if name in modules else origin


GRAPH = {module: set(imports_of(module)) - {module} for module in MODULES}


@pytest.mark.parametrize("module", [module for module in MODULES if module != FRONT_DOOR])
def test_a_room_imports_only_what_it_may(module: str) -> None:
    room = room_of(module)
    allowed = MAY_IMPORT[room] | {room}
    for imported in GRAPH[module] - {FRONT_DOOR}:
        assert room_of(imported) in allowed, f"{module} ({room}) imports {imported}"


@pytest.mark.parametrize("module", [module for module in MODULES if module != FRONT_DOOR])
def test_other_rooms_are_entered_by_their_door(module: str) -> None:
    """`from airlock.stores import Store`, never `from airlock.stores.store import Store`; `worker` has no door."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airlock.") and not node.level:
            _, room, *inner = (node.module or "").split(".")
            is_other_room = (CORE / room).is_dir() and room not in (room_of(module), "worker")
            assert not (is_other_room and inner), f"{module} imports {node.module}"


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(f"{module}.") not in (GROUND, "testing")])
def test_core_uses_its_own_names_and_not_the_front_door(module: str) -> None:
    assert FRONT_DOOR not in GRAPH[module]


def test_no_circle_of_files() -> None:
    assert_no_circle(GRAPH)


def test_no_circle_of_files_of_the_client() -> None:
    modules = {f"airlock_client.{path.stem}".removesuffix(".__init__"): path for path in CLIENT.glob("*.py")}
    assert len(modules) == len(list(CLIENT.rglob("*.py")))
    assert_no_circle({module: set(imports_of(module, modules)) - {module, "airlock_client"} for module in modules})


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(f"{module}.") not in (GROUND, "client")])
def test_only_the_ground_and_the_client_show_names_of_the_client(module: str) -> None:
    assert "airlock_client" not in MODULES[module].read_text()


def test_the_client_imports_nothing_of_core() -> None:
    for path in CLIENT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert "airlock" not in {alias.name.split(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").split(".")[0] != "airlock", path


def test_no_circle_of_rooms() -> None:
    rooms: dict[str, set[str]] = {}
    for module, imported in GRAPH.items():
        if module != FRONT_DOOR:
            room = room_of(module)
            rooms.setdefault(room, set()).update(room_of(other) for other in imported - {FRONT_DOOR})
            rooms[room].discard(room)
    assert_no_circle(rooms)


def assert_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_every_room_has_a_map() -> None:
    for folder in {path.parent for path in MODULES.values()} | {CLIENT}:
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert docstring, f"{folder.relative_to(ROOT)}/__init__.py does not say what the room is for"


def test_no_folder_is_crowded() -> None:
    for folder in {path.parent for path in MODULES.values()} | {CLIENT}:
        assert len(list(folder.glob("*.py"))) <= 20, folder


def test_no_file_is_long() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in MODULES.values()}
    sizes |= {path: len(path.read_text().splitlines()) for path in ROOT.glob("plugins/*/src/**/*.py")}
    sizes |= {path: len(path.read_text().splitlines()) for path in CLIENT.rglob("*.py")}
    assert {path: size for path, size in sizes.items() if size > 300} == {}
    core = [size for path, size in sizes.items() if path.is_relative_to(CORE)]
    assert statistics.median(core) <= 130


def test_no_test_file_is_long() -> None:
    """Only `tests/test_api.py` is, and stays as it is."""
    folders = [ROOT / "tests", ROOT / "client" / "tests", *ROOT.glob("plugins/*/tests"), *ROOT.glob("examples/*/tests")]
    paths = {path for folder in folders for path in folder.rglob("*.py")} - {ROOT / "tests" / "test_api.py"}
    sizes = {path: len(path.read_text().splitlines()) for path in paths}
    assert {path: size for path, size in sizes.items() if size > 300} == {}


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()}), ids=str)
def test_no_name_shadows_a_library_that_its_siblings_import(folder: Path) -> None:
    ours = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    imported = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    assert not ours & imported


@pytest.mark.parametrize("path", sorted((CORE / "worker").glob("*.py")), ids=lambda path: path.name)
def test_worker_imports_only_the_standard_library_and_itself(path: Path) -> None:
    """It runs in sandboxes that have nothing else; `test_a_room_imports_only_what_it_may` checks our modules."""
    import sys

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] in sys.stdlib_module_names


def test_core_names_no_backend_plugin() -> None:
    """Core knows no backend: only its messages and its starter file may name one."""
    for path in MODULES.values():
        for plugin in ("airlock_local", "airlock_mock", "airlock_docker", "airlock_metrics"):
            assert plugin not in path.read_text(), path


def test_tests_mirror_the_rooms() -> None:
    """Each test file is named after a module of its room, perhaps with a topic: `test_clock.py`, `test_sse_floods.py`.

    Tests that belong to no module are in `served`, and use whole servers.
    """
    folders = {"ground": CORE, "client": ROOT / "client" / "src" / "airlock_client"}
    for path in (ROOT / "tests").glob("*/test_*.py"):
        room = path.parent.name
        if room == "served":
            continue
        folder = folders.get(room, CORE / room)
        modules = {each.stem for each in (folder.glob("*") if room == "ground" else folder.rglob("*"))} | {room}
        name = path.stem.removeprefix("test_")
        assert any(name == module or name.startswith(f"{module}_") for module in modules), path
