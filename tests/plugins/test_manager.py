"""Which plugins are in and which are out, who provides what, and how plugins are found."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.plugins.conftest import EchoBackend, ParrotMediator, commanding, offering, plugin
from typer import Typer

from airlock import hookimpl
from airlock.plugins import BACKEND, COMMAND, MEDIATOR
from airlock.plugins import manager as plugins_module
from airlock.plugins.manager import Plugins, Provided
from airlock.plugins.plugin import Source

FAKES = Path(__file__).parents[1] / "data" / "distributions"


# --- what works ----------------------------------------------------------------------------------------------------


def test_core_provides_the_agent_as_a_plugin() -> None:
    plugins = Plugins()
    assert list(plugins.of(MEDIATOR)) == ["agent"]
    assert plugins.of(MEDIATOR)["agent"].source.distribution == "airlock-core"
    assert plugins.broken == []


def test_registered_classes_are_found_by_type_with_their_source() -> None:
    plugins = Plugins()
    source = Source("echo", "airlock-echo", "1.0")
    plugins.register(
        plugin(airlock_register_backends=lambda: [EchoBackend], airlock_register_mediators=lambda: [ParrotMediator]),
        source,
    )
    assert plugins.of(BACKEND)["echo"].value is EchoBackend
    assert plugins.of(BACKEND)["echo"].source == source
    assert plugins.of(MEDIATOR)["parrot"].value is ParrotMediator
    assert str(plugins.of(MEDIATOR)["parrot"].source) == "airlock-echo 1.0"


def test_sources_list_what_each_plugin_registers() -> None:
    plugins = Plugins()
    plugins.register(
        plugin(
            airlock_register_backends=lambda: [EchoBackend],
            airlock_register_projects=lambda: {"demo": {"backend": "echo"}},
            airlock_pool_changed=lambda event: None,
        ),
        Source("echo", "airlock-echo", "1.0"),
    )
    echo = plugins.sources[-1]
    assert (list(echo.offers["backend"]), list(echo.offers["mediator"]), list(echo.projects)) == (
        ["echo"],
        [],
        ["demo"],
    )
    assert echo.observes == ("airlock_pool_changed",)


def test_generator_may_register() -> None:
    def backends() -> Iterator[type[EchoBackend]]:
        yield EchoBackend

    plugins = Plugins()
    plugins.register(plugin(airlock_register_backends=backends))
    assert list(plugins.of(BACKEND)) == ["echo"]


def test_hook_of_a_later_version_may_be_optional() -> None:
    plugins = Plugins()
    later = hookimpl(optionalhook=True)(lambda: None)
    plugins.register(SimpleNamespace(airlock_register_secrets=later, **vars(offering(EchoBackend))))
    assert plugins.broken == []
    assert list(plugins.of(BACKEND)) == ["echo"]


def test_projects_are_merged(caplog: pytest.LogCaptureFixture) -> None:
    plugins = Plugins()
    plugins.register(plugin(airlock_register_projects=lambda: {"a": {"backend": "one"}}), Source("one"))
    plugins.register(
        plugin(airlock_register_projects=lambda: {"a": {"backend": "two"}, "b": {"backend": "two"}}), Source("two")
    )
    assert plugins.projects() == {"a": {"backend": "one"}, "b": {"backend": "two"}}
    assert "project 'a' of plugin two is ignored" in caplog.text


def test_broken_plugin_is_wholly_out() -> None:
    plugins = Plugins()
    plugins.register(
        plugin(airlock_register_backends=lambda: [EchoBackend], airlock_register_mediators=lambda: ParrotMediator)
    )
    assert len(plugins.broken) == 1
    assert dict(plugins.of(BACKEND)) == {}
    assert list(plugins.of(MEDIATOR)) == ["agent"]


def test_two_providers_of_one_type_are_both_out_and_both_named() -> None:
    class Other(EchoBackend):
        pass

    plugins = Plugins()
    plugins.register(offering(EchoBackend), Source("echo", "airlock-echo", "1.0"))
    plugins.register(offering(Other), Source("echo", "airlock-reverb", "2.0"))
    assert dict(plugins.of(BACKEND)) == {}
    assert [str(broken.source) for broken in plugins.broken] == ["airlock-echo 1.0", "airlock-reverb 2.0"]
    for broken in plugins.broken:
        assert "backend 'echo' is provided by " in broken.error
        assert "airlock-echo 1.0" in broken.error
        assert "airlock-reverb 2.0" in broken.error
        assert "uninstall all but one" in broken.error


def test_third_provider_of_a_type_is_out_as_well() -> None:
    plugins = Plugins()
    for number in range(3):
        plugins.register(offering(type("Echo", (EchoBackend,), {})), Source(f"p{number}"))
    assert dict(plugins.of(BACKEND)) == {}
    assert len(plugins.broken) == 3


def test_type_of_core_cannot_be_taken() -> None:
    class Impostor(ParrotMediator):
        type = "agent"

    plugins = Plugins()
    plugins.register(plugin(airlock_register_mediators=lambda: [Impostor]), Source("impostor"))
    assert plugins.of(MEDIATOR)["agent"].source.distribution == "airlock-core"
    assert [broken.source.name for broken in plugins.broken] == ["impostor"]


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_command_is_found_by_the_name_of_its_app() -> None:
    app = Typer(name="queue")
    plugins = Plugins()
    plugins.register(commanding(app), Source("queue", "airlock-queue", "1.0"))
    assert plugins.of(COMMAND)["queue"] == Provided(app, Source("queue", "airlock-queue", "1.0"))


def test_a_backend_and_a_command_may_have_the_same_word() -> None:
    plugins = Plugins()
    plugins.register(offering(EchoBackend))
    plugins.register(commanding(Typer(name="echo")))
    assert plugins.broken == []


# --- an unknown type -----------------------------------------------------------------------------------------------


def test_unknown_type_names_what_is_known_and_what_is_broken() -> None:
    plugins = Plugins()
    plugins.register(offering(EchoBackend), Source("echo", "airlock-echo", "1.0"))
    plugins.register(offering(5), Source("bad", "airlock-bad", "0.1"))
    told = plugins.unknown(BACKEND, "bad")
    assert "available: echo (airlock-echo 1.0)" in told
    assert "airlock-bad 0.1 is broken: int 5 is not a subclass of airlock.Backend" in told


@pytest.mark.parametrize(("word", "meant"), [("docker", ""), ("dokcer", "; did you mean 'docker'?")])
def test_unknown_type_that_a_plugin_of_ours_has_gets_the_command(
    monkeypatch: pytest.MonkeyPatch, word: str, meant: str
) -> None:
    monkeypatch.setattr(plugins_module, "_is_installed", lambda name: name != "airlock-docker")
    told = Plugins().unknown(BACKEND, word)
    assert told.startswith(f"no backend {word!r}{meant}; pip install 'airlock-core[docker]'; available: ")


@pytest.mark.parametrize("word", ["kubernetes", "all", "testing", "x; rm -rf /"])
def test_unknown_type_gets_no_command_to_install_what_somebody_else_may_publish(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(plugins_module, "_is_installed", lambda name: False)
    assert "pip install" not in Plugins().unknown(BACKEND, word)


def test_mistyped_type_gets_the_right_one_and_no_command_to_install_a_strangers_package() -> None:
    plugins = Plugins()
    plugins.register(offering(EchoBackend))
    told = plugins.unknown(BACKEND, "ecko")
    assert "did you mean 'echo'?" in told
    assert "pip install" not in told


# --- discovery, with distributions on disk --------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a site directory for fake distributions."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, *names: str) -> None:
    for name in names:
        for path in FAKES.glob(f"*airlock_{name}*"):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, site / path.name)


def test_discovery_finds_an_installed_plugin(site: Path) -> None:
    install(site, "good")
    plugins = Plugins.discover()
    assert plugins.of(BACKEND)["good"].source == Source("good", "airlock-good", "1.2")
    assert plugins.broken == []


def test_discovery_reports_every_plugin_that_cannot_be_imported_and_loads_the_others(site: Path) -> None:
    install(site, "importerror", "missing", "exits", "good")
    plugins = Plugins.discover()
    assert "good" in plugins.of(BACKEND)
    assert {str(broken.source): broken.error for broken in plugins.broken} == {
        "airlock-exits 0.1": (
            "fake_airlock_exits cannot be imported: SystemExit: unsupported machine (fake_airlock_exits.py, line 5)"
        ),
        "airlock-importerror 0.1": (
            "fake_airlock_importerror cannot be imported: ModuleNotFoundError: "
            "No module named 'package_that_nobody_has' (fake_airlock_importerror.py, line 3)"
        ),
        "airlock-missing 0.1": (
            "fake_airlock_missing:hooks cannot be imported: ModuleNotFoundError: No module named 'fake_airlock_missing'"
        ),
    }
