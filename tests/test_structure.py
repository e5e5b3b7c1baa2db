"""The layout that newcomers rely on: imports point one way, and the plugins know only the front door."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "airlock"

# A module may import those of its own line and of the lines above it.
LAYERS = [
    {"models", "summaries", "examples", "errors", "strict_json", "retry", "events"},
    {"client"},
    {"limits", "worker", "seccomp", "log_handler", "logs", "methods", "weak_calls"},
    {"backend", "hookspecs", "wheels", "wheel_failures"},
    {
        "pools",
        "frames",
        "causes",
        "pauses",
        "selftest",
        "mediation",
        "executions",
        "growing_text",
        "output",
        "listing",
        "submission",
        "ending",
        "secret_forms",
        "redaction",
        "secrets",
    },
    {
        "event_id",
        "event_stream",
        "keys",
        "gateway_view",
        "clock",
        "slots",
        "turn",
        "store",
        "memory_store",
        "sqlite_store",
        "sqlite_thread",
        "sqlite_file",
        "sqlite_header",
        "recovery",
        "record",
        "questions",
        "quotas",
        "making",
    },
    {"contracts", "plugin", "plugins", "core_plugin", "yaml_places", "yaml_source", "yaml_values", "testing"},
    {"project_config", "advice", "config", "schema", "phrasing", "session", "projects", "registry", "live_executions"},
    {"gateway"},
    {
        "request_ids",
        "problems",
        "access",
        "scoping",
        "extensions",
        "lifespan",
        "strict_requests",
        "direct_requests",
        "server_sent_events",
        "openapi",
        "head",
    },
    {"protocol"},
    {"routes"},
    {"api"},
    {"server", "cli", "__main__"},
]


def imported(path: Path) -> set[str]:
    """Modules of core that a file imports when it runs; imports for the type checker do not count."""
    tree = ast.parse(path.read_text())
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    package = path.parent.relative_to(CORE).parts
    found = set()
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            found |= {name.split(".")[1] for alias in node.names if (name := alias.name).startswith("airlock.")}
        elif isinstance(node, ast.ImportFrom):
            base = ("airlock", *package[: len(package) - node.level + 1]) if node.level else ()
            full = [*base, *(node.module or "").split(".")] if node.module else list(base)
            if full[:1] == ["airlock"]:
                found |= {full[1]} if len(full) > 1 else {alias.name for alias in node.names if alias.name.islower()}
    return found


def module_name(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_imports_point_one_way(path: Path) -> None:
    name = module_name(path)
    if name == "__init__":
        return
    level = next((number for number, layer in enumerate(LAYERS) if name in layer), None)
    assert level is not None, f"{name} stands in no layer: put it where it belongs"
    allowed = set().union(*LAYERS[: level + 1])
    assert imported(path) <= allowed


@pytest.mark.parametrize("path", sorted((CORE / "worker").glob("*.py")), ids=lambda path: path.name)
def test_worker_imports_nothing_else_of_ours(path: Path) -> None:
    assert imported(path) <= {"worker"}


def test_core_names_no_backend_plugin() -> None:
    """Core knows no backend: only its texts for people, and its starter file, may name one."""
    for path in CORE.rglob("*.py"):
        assert "airlock_local" not in path.read_text(), path
        assert "airlock_mock" not in path.read_text(), path
