"""What Docker itself says of a container that waits, and what a script meets inside."""

from __future__ import annotations

import errno
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import docker
import pytest

from airlock import BackendUnavailable, Limits
from airlock.worker import loopback
from airlock_docker import hardening
from airlock_docker.inside import script_process
from airlock_docker.worker import DockerWorker

if TYPE_CHECKING:
    from containers.conftest import Up

pytestmark = pytest.mark.anyio


def inspected(client: docker.DockerClient, up: Up) -> dict[str, Any]:
    worker = up.backend._idle[0]
    assert isinstance(worker, DockerWorker)
    found: dict[str, Any] = client.api.inspect_container(worker.name)
    return found


async def test_more_cores_than_the_daemon_has_are_what_it_has(
    client: docker.DockerClient, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    """Half of the server's cores, the default beside other projects, may be more: the daemon would refuse that."""
    up = await make_docker(cpus=1000)
    assert inspected(client, up)["HostConfig"]["NanoCpus"] == client.info()["NCPU"] * 1_000_000_000


async def test_docker_took_away_all_that_it_can(client: docker.DockerClient, up: Up) -> None:
    found = inspected(client, up)["HostConfig"]
    assert found["NetworkMode"] == "none"
    assert found["CapDrop"] == ["ALL"]
    assert found["CapAdd"] is None
    assert found["SecurityOpt"] == ["no-new-privileges"]
    assert found["ReadonlyRootfs"] is True
    assert found["Privileged"] is False
    assert found["IpcMode"] == "private"
    assert found["CgroupnsMode"] == "private"
    assert (found["PidMode"], found["UTSMode"], found["UsernsMode"]) == ("", "", "")
    assert {"/proc/kcore", "/proc/keys", "/proc/scsi", "/proc/locks"} < {*found["MaskedPaths"]}
    assert "/proc/sys" in found["ReadonlyPaths"]
    assert found["LogConfig"] == {"Type": "none", "Config": {}}
    assert found["RestartPolicy"]["Name"] in ("", "no")
    assert not found["Binds"]
    assert not found["Devices"]
    assert not found["PortBindings"]
    assert not found["VolumesFrom"]
    assert not found["Init"]


async def test_docker_holds_the_limits(client: docker.DockerClient, make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker(memory=100 << 20, processes=20, cpus=0.5, files=300, file_size=2 << 20, scratch=4 << 20)
    found = inspected(client, up)["HostConfig"]
    assert found["Memory"] == found["MemorySwap"] == 100 << 20
    assert found["PidsLimit"] == 21  # with the supervisor
    assert found["NanoCpus"] == 500_000_000
    assert found["Sysctls"] == loopback.SETTINGS
    assert found["KernelMemoryTCP"] in ((100 << 20) // 8, 0)  # 0: with version 2 of control groups
    assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in found["Ulimits"]} == {
        "nofile": (300, 300),
        "fsize": (2 << 20, 2 << 20),
        "core": (0, 0),
    }
    assert found["Tmpfs"] == {
        "/tmp": "size=4194304,nr_inodes=1024,mode=1777,nosuid,nodev,exec",
        "/workspace": "size=4194304,nr_inodes=1024,mode=1777,nosuid,nodev,exec",
        "/dev/shm": "size=2097152,nr_inodes=256,mode=1777,nosuid,nodev,noexec",
        "/sys": "size=4k,nr_inodes=8,mode=755,ro,nosuid,nodev,noexec",
        "/sys/devices": "size=32m,nr_inodes=8192,mode=1777,nosuid,nodev,noexec",
        "/sys/fs/cgroup": "size=64k,nr_inodes=32,mode=1777,nosuid,nodev,noexec",
    }


async def test_the_container_is_nobody_and_mounts_nothing_of_the_host(client: docker.DockerClient, up: Up) -> None:
    found = inspected(client, up)
    uid, _, gid = found["Config"]["User"].partition(":")
    assert uid == gid
    assert 62_000 <= int(uid) < 63_024
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/dev/pts"]
    (terminals,) = found["HostConfig"]["Mounts"]
    assert terminals["VolumeOptions"]["DriverConfig"]["Options"]["type"] == "devpts"
    assert found["Config"]["StdinOnce"] is True
    assert found["Config"]["NetworkDisabled"] is True
    assert found["Config"]["Healthcheck"] == {"Test": ["NONE"]}


async def test_containers_beside_each_other_have_different_uids_of_the_operators_choice(
    make_docker: Callable[..., Awaitable[Up]],
) -> None:
    up = await make_docker(replicas=3, settings={"first_uid": 50_000})
    uids = {worker.uid for worker in up.backend._idle if isinstance(worker, DockerWorker)}
    assert len(uids) == 3
    assert all(50_000 <= uid < 51_024 for uid in uids)
    assert await up.result("import os; set_result(os.getuid())") in uids
    assert "uids 50000 to 51023" in up.backend.isolation


async def test_the_operators_labels_stand_beside_ours(
    client: docker.DockerClient, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(settings={"labels": {"team": "data", "airlock.project": "forged"}})
    labels = inspected(client, up)["Config"]["Labels"]
    assert labels["team"] == "data"
    assert labels["airlock.project"] == "test"
    assert len(labels["airlock.instance"]) == 16


async def test_an_images_volumes_cannot_be_written(
    client: docker.DockerClient, base_image: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    container = client.containers.create(base_image, ["true"])
    container.commit("airlock-test-volume", conf={"Volumes": {"/data": {}}})
    container.remove()
    up = await make_docker(settings={"image": "airlock-test-volume"})
    assert [mount["Destination"] for mount in inspected(client, up)["Mounts"]] == ["/dev/pts"]
    code = "try: open('/data/x', 'w')\nexcept OSError as error: set_result(error.errno)"
    assert await up.result(code) in (errno.EROFS, errno.EACCES, errno.ENOSPC)


@pytest.mark.parametrize("layer", [layer.__name__ for layer in script_process.LAYERS])
async def test_a_missing_layer_is_found_and_the_project_stays_down(
    monkeypatch: pytest.MonkeyPatch, throw_away: str, make_docker: Callable[..., Awaitable[Up]], layer: str
) -> None:
    """The layers are baked into the image: so leave one out of what is baked."""
    from airlock_docker import images

    def without(first_uid: int) -> dict[str, bytes]:
        files = real(first_uid)
        name = "lib/airlock_docker/inside/script_process.py"
        files[name] = files[name].replace(f"    layers.{layer},\n".encode(), b"")
        return files

    found = {
        "only_own_descriptors": "no descriptors of others",
        "own_session": "its own run",
        "resource_limits": "resource limits",
        "landlock": "Landlock",
        "system_call_filter": "seccomp",
    }
    real = images.inside
    monkeypatch.setattr(images, "inside", without)
    if layer == "no_new_privileges":
        await make_docker(name=throw_away)  # Docker did that already; both are asked for
        return
    with pytest.raises(BackendUnavailable, match=found[layer]):
        await make_docker(name=throw_away)


async def test_docker_that_leaves_something_out_is_found(
    monkeypatch: pytest.MonkeyPatch, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    def weaker(*arguments: Any, **options: Any) -> dict[str, Any]:
        made = real(*arguments, **options)
        weak = {"NetworkMode": "host", "Sysctls": {}, "CapDrop": [], "ReadonlyRootfs": False, "MaskedPaths": []}
        host = {**made["host_config"], **weak}
        return {**made, "host_config": host, "network_disabled": False}

    real = hardening.container
    monkeypatch.setattr(hardening, "container", weaker)
    with pytest.raises(BackendUnavailable) as caught:
        await make_docker()
    assert "no capabilities" in str(caught.value)
    assert "no network" in str(caught.value)
    assert "nothing of the host's in /proc" in str(caught.value)


async def test_terminals_that_all_containers_share_are_found(
    monkeypatch: pytest.MonkeyPatch, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    def with_terminals(*arguments: Any) -> dict[str, Any]:
        made = real(*arguments)
        del made["Mounts"]
        return made

    real = hardening.host_config
    monkeypatch.setattr(hardening, "host_config", with_terminals)
    with pytest.raises(BackendUnavailable, match="few terminals"):
        await make_docker()


async def test_no_volume_is_left(client: docker.DockerClient, make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker()
    (terminals,) = inspected(client, up)["Mounts"]
    await up.backend.close()
    assert terminals["Name"] not in {volume.name for volume in client.volumes.list()}


def test_limits_that_would_keep_python_from_starting_are_left_to_the_worker() -> None:
    found = hardening.host_config(Limits(files=16, file_size=0), hardening.DEFAULT, ())
    assert {limit["Name"]: limit["Hard"] for limit in found["Ulimits"]} == {"nofile": 256, "fsize": 1 << 20, "core": 0}


def test_where_the_kernel_is_the_containers_own_the_host_leaves_room_for_its_threads() -> None:
    found = hardening.host_config(Limits(processes=20), hardening.Runtime("runsc", has_own_kernel=True), ())
    assert 300 < found["PidsLimit"] < 500


async def test_the_smallest_limits_still_let_a_script_run(make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker(files=16, file_size=0, processes=1, scratch=1 << 20, memory=32 << 20)
    assert await up.result("import resource; set_result(resource.getrlimit(resource.RLIMIT_NOFILE))") == [16, 16]


# --- attacks that are about a container ----------------------------------------------------------------------------


async def test_a_script_that_writes_to_the_supervisors_streams_forges_nothing(up: Up) -> None:
    code = """
import os
failed = 0
for number in range(3):
    try: os.open(f"/proc/1/fd/{number}", os.O_WRONLY)
    except OSError: failed += 1
set_result(failed)
"""
    assert await up.result(code) == 3


async def test_what_the_server_told_the_container_holds_no_secret_and_no_id(up: Up) -> None:
    arguments = await up.result("set_result(open('/proc/1/cmdline').read().split(chr(0)))")
    told = {
        "preload",
        "preload_reseed",
        "memory",
        "cpus",
        "processes",
        "files",
        "file_size",
        "reached",
        "cores",
        "counts_processes_by_user",
        "prefix",
    }
    assert set(json.loads(arguments[3])) == told


async def test_the_environment_is_ours_and_the_images_alone(monkeypatch: pytest.MonkeyPatch, up: Up) -> None:
    monkeypatch.setenv("CANARY", "x")
    environment = await up.result("import os; set_result(dict(os.environ))")
    assert not {"CANARY", "DOCKER_HOST", "AIRLOCK_API_KEY"} & set(environment)
    assert environment["HOME"] == "/tmp"


async def test_no_module_of_airlock_is_left_in_the_script(up: Up) -> None:
    assert await up.result("import sys; set_result([n for n in sys.modules if 'airlock' in n])") == ["airlock"]
    assert await up.result("import sys; set_result([p for p in sys.path if 'airlock/lib' in p])") == []


async def test_a_script_that_closes_its_frame_socket_is_told_from_a_lost_container(up: Up) -> None:
    ran = await up.run("import os; os.close(3)")
    assert (ran.outcome.error_type, ran.outcome.error) == ("script_error", "the script ended with exit code 70")
