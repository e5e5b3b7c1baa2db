"""The self-test finds every layer that is missing, and then nothing runs."""

import os
from collections.abc import Callable

import pytest

from airlock import BackendUnavailable, Limits, Project
from airlock_local import cgroups
from airlock_local.backend import LocalBackend, LocalSettings
from airlock_local.box import EVERY_LAYER

pytestmark = pytest.mark.anyio

FOUND = {
    "join_cgroups": "its cgroup",
    "own_uid": "its own uid",
    "own_namespaces": "its own mnt namespace",
    "own_proc": "no processes of others",
    "own_scratch": "the self-test itself",
    "own_network": "its own net namespace",
    "own_user": "its own user namespace",
    "only_own_descriptors": "no descriptors of others",
    "own_session": "its own run",
    "resource_limits": "resource limits",
    "no_capabilities": "no capabilities",
    "no_new_privileges": "landlock_restrict_self: Operation not permitted",  # the kernel refuses the next
    "landlock": "Landlock",
    "system_call_filter": "seccomp",
}


def test_every_layer_is_tried() -> None:
    assert tuple(FOUND) == EVERY_LAYER


@pytest.mark.parametrize("layer", EVERY_LAYER)
async def test_a_missing_layer_is_found_and_the_project_stays_down(leave_out: Callable[..., None], layer: str) -> None:
    if layer in ("join_cgroups", "own_uid") and os.geteuid() != 0:
        pytest.skip("an ordinary user has no cgroup to be in, and no second uid to be")
    leave_out(layer)
    backend = LocalBackend(Project(name="test"), LocalSettings())
    with pytest.raises(BackendUnavailable) as caught:
        await backend.scale(1)
    assert FOUND[layer] in str(caught.value)
    assert backend.pool().idle == 0
    await backend.close()


async def test_missing_namespaces_are_named_one_by_one(leave_out: Callable[..., None]) -> None:
    leave_out("own_namespaces")
    backend = LocalBackend(Project(name="test"), LocalSettings(isolation="reduced"))
    await backend.scale(1)
    for name in ("cgroup", "ipc", "mnt", "uts"):
        assert f"its own {name} namespace" in backend.isolation
    await backend.close()


async def test_no_new_privileges_is_also_asked_for_by_itself(leave_out: Callable[..., None]) -> None:
    leave_out("no_new_privileges", "landlock", "system_call_filter")
    backend = LocalBackend(Project(name="test"), LocalSettings(isolation="reduced"))
    await backend.scale(1)
    assert "no new privileges, " in backend.isolation
    await backend.close()


@pytest.mark.parametrize(("cpus", "is_warned"), [(1.0, True), (None, False)])
async def test_a_limit_that_needs_a_control_group_is_named_in_a_warning_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cpus: float | None, is_warned: bool
) -> None:
    monkeypatch.setattr(cgroups, "find", lambda *_: None)  # as for an ordinary user
    backend = LocalBackend(Project(name="test", limits=Limits(cpus=cpus)), LocalSettings(isolation="reduced"))
    await backend.scale(1)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("project test: limits.cpus is not held (" in message for message in warned) is is_warned
    await backend.close()
