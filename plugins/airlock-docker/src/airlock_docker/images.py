"""A project's image: the base image, the worker's code and the project's packages. Built without network and pip."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import platform
import tarfile
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from docker.errors import ImageNotFound

from airlock import BackendUnavailable
from airlock.sandbox import install_packages, seccomp_program, surroundings

from . import diagnosis, old_images
from .hardening import UIDS
from .probe import probe

if TYPE_CHECKING:
    from airlock import Project

    from .engine import Engine
    from .hardening import Runtime
    from .probe import Machine

log = logging.getLogger(__name__)

REPOSITORY: Final = "airlock/project"
HOME: Final = "/opt/airlock"
SITE: Final = f"{HOME}/site"
PREFIX: Final = f"{HOME}/env"  # the environment of scripts, see `airlock.worker.prefix`
WRITE_PREFIX: Final = (
    f"import sys; sys.path[:0] = ['{HOME}/lib']; from airlock.worker import prefix; prefix.write('{PREFIX}', '{SITE}')"
)
MAIN: Final = f"{HOME}/lib/main.py"
INSIDE: Final = ("airlock.worker", "airlock.worker.pip", "airlock_docker.inside")
BUILD_TIME_LIMIT: Final = 600.0  # seconds without a word from the daemon
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}  # as Python and as Docker call them

# Compiled here, since a container's root is read-only and each one would do it again.
DOCKERFILE: Final = f"""\
FROM {{base}}
USER 0:0
COPY etc {HOME}/etc
RUN ["python3", "-I", "{HOME}/etc/etc.py"]
COPY lib {HOME}/lib
COPY site {SITE}
RUN ["python3", "-I", "-B", "-c", "{WRITE_PREFIX}"]
RUN ["python3", "-I", "-c", "import compileall; compileall.compile_dir('{HOME}', quiet=2)"]
"""


async def provide(engine: Engine, project: Project, image: str, runtime: Runtime, first_uid: int) -> dict[str, Any]:
    """Return what Docker knows about the project's image; build it first if there is none.

    Containers run as one of the UIDS from `first_uid` on, which the image knows.

    Raises BackendUnavailable, with the command that fixes it, when that is not possible.
    """
    base = await inspect(engine, image)
    if base is None:
        raise BackendUnavailable(f"There is no image {image}.", f"Get it: `docker -H {engine.host} pull {image}`.")
    if base["Architecture"] != MACHINES.get(platform.machine()):
        raise BackendUnavailable(
            f"The image {image} is for {base['Architecture']}, and Airlock runs on {platform.machine()}.",
            "Use an image of this architecture: the system call filter is made for one.",
        )
    files = inside(first_uid)
    key = [base["Id"], sorted(project.packages), {name: data.hex() for name, data in files.items()}]
    tag = f"{REPOSITORY}:{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}"
    found = await inspect(engine, tag)
    if found is None:
        machine = await probe(engine, project, image, base, runtime)
        await build(engine, project, base["Id"], machine, tag, files)
        found = await inspect(engine, tag)
        assert found is not None
    else:
        await engine.call(
            lambda client: client.tag(found["Id"], REPOSITORY, tag.rpartition(":")[2])
        )  # says that it is used
    return found


async def inspect(engine: Engine, image: str) -> dict[str, Any] | None:
    """Return what Docker knows about an image, or None if it has no image of that name."""
    try:
        found: dict[str, Any] = await engine.call(lambda client: client.inspect_image(image))  # type: ignore[no-untyped-call]  # its stubs
    except ImageNotFound:
        return None
    return found


def python_path(image: dict[str, Any]) -> str:
    """Return where Python finds packages: the project's, then what the image says itself."""
    own = [entry.partition("=")[2] for entry in image["Config"].get("Env") or () if entry.startswith("PYTHONPATH=")]
    return ":".join([SITE, *own])


def command_path(image: dict[str, Any]) -> str:
    """Return where programs are found: first this Python, then commands of packages, then what the image says."""
    own = [entry.partition("=")[2] for entry in image["Config"].get("Env") or () if entry.startswith("PATH=")]
    return ":".join([f"{PREFIX}/bin", f"{SITE}/bin", *(own or ["/usr/local/bin:/usr/bin:/bin"])])


def inside(first_uid: int) -> dict[str, bytes]:
    """Return the files of the worker by their paths below HOME, the system call filter, and what /etc lacks."""
    files = {
        "airlock/__init__.py": b"",
        "airlock_docker/__init__.py": b"",
        "filter.bpf": seccomp_program(internet="allowed"),
    }
    for package in INSIDE:
        for file in resources.files(package).iterdir():
            if file.name.endswith(".py"):
                files[f"{package.replace('.', '/')}/{file.name}"] = file.read_bytes()
    files["main.py"] = files.pop("airlock_docker/inside/main.py")
    etc = {
        "etc/etc.py": files.pop("airlock_docker/inside/etc.py"),
        "etc/files.json": json.dumps(surroundings(range(first_uid, first_uid + UIDS), SITE)).encode(),
    }
    return {f"lib/{name}": data for name, data in files.items()} | etc


async def build(
    engine: Engine, project: Project, base: str, machine: Machine, tag: str, files: dict[str, bytes]
) -> None:
    """Install the packages here, and have the daemon put them and our files on top of the base image."""
    with tempfile.TemporaryDirectory(prefix="airlock-docker-") as folder:
        site = Path(folder)
        if project.packages:
            fits = (f"--python-version={machine.python}", f"--python-platform={machine.platform}")
            await install_packages(project, site, *fits)
        log.info("project %s: building the image %s", project.name, tag)
        await engine.call(lambda client: _build(client, project, base, tag, files, site), time_limit=BUILD_TIME_LIMIT)


def _build(client: Any, project: Project, base: str, tag: str, files: dict[str, bytes], site: Path) -> None:
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            _add(tar, "Dockerfile", DOCKERFILE.format(base=base).encode())
            for name, data in files.items():
                _add(tar, name, data)
            tar.add(site, "site", filter=_owned_by_root)
        context.seek(0)
        said = client.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            rm=True,
            forcerm=True,
            network_mode="none",
            labels={
                "airlock.project": project.name,
                "airlock.packages": " ".join(project.packages),
                old_images.OWNER: old_images.owner(),
                old_images.BASE: base,
            },
            decode=True,
        )
        refusal = None
        for line in said:  # to the end: it is what closes the connection
            if "error" in line:
                refusal = diagnosis.refused(line["error"])
            elif text := line.get("stream", "").strip():
                log.info("project %s: docker: %s", project.name, text)
        if refusal is not None:
            raise BackendUnavailable(f"The image of project {project.name} cannot be built.", str(refusal))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(data))


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o555 if entry.isdir() else 0o444
    entry.uname = entry.gname = ""
    return entry
