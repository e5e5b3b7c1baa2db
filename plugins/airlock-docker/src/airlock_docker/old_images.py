"""Removes the project images that this user's servers built and have not used for long."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import secrets
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError, NotFound

from airlock import BackendUnavailable

from . import instance

if TYPE_CHECKING:
    import docker

    from .engine import Engine

log = logging.getLogger(__name__)

OWNER: Final = "airlock.owner"  # label of images: who built it
BASE: Final = "airlock.base"  # label of images: the id of what it was built on
KEEP: Final = 20  # at most; those that were used last
KEEP_DAYS: Final = 30


def owner() -> str:
    """Return the name of all servers that share our state folder, which is kept beside it.

    Raises BackendUnavailable when it cannot be kept.
    """
    path = instance.state_directory().with_name("docker-owner")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            new = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
            new.write_text(secrets.token_hex(8), encoding="ascii")
            try:
                os.link(new, path)  # whole or not at all, by one of those that try it at once
            finally:
                new.unlink()
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise instance.not_writable(path.parent, error) from error


async def remove(engine: Engine, *, keep: int = KEEP, keep_days: float = KEEP_DAYS) -> None:
    """Remove what was not used for long, and all but the `keep` used last; never an image that has a container.

    It is only housekeeping: what cannot be removed is logged.
    """
    try:
        label = f"{OWNER}={owner()}"
        await engine.call(lambda client: _remove(client, label, keep, keep_days))
    except (BackendUnavailable, NotFound) as error:
        log.warning("old images of projects could not be removed yet: %s", error)


def _remove(client: docker.APIClient, label: str, keep: int, keep_days: float) -> None:
    oldest = dt.datetime.now(dt.UTC) - dt.timedelta(days=keep_days)
    ids = {found["Id"] for found in client.images(filters={"label": label})}
    images = [client.inspect_image(image) for image in ids]  # type: ignore[no-untyped-call]  # its stubs
    images.sort(key=_last_used, reverse=True)
    for rank, image in enumerate(images):
        if rank >= keep or _last_used(image) < oldest:
            _remove_unused(client, image)


def _last_used(image: dict[str, Any]) -> dt.datetime:
    """Return when a project that uses it came up last: it is tagged again each time."""
    times = (image.get("Metadata", {}).get("LastTagTime"), image["Created"])
    return max(dt.datetime.fromisoformat(time) for time in times if time and not time.startswith("0001"))


def _remove_unused(client: docker.APIClient, image: dict[str, Any]) -> None:
    names = image["RepoTags"] or [image["Id"]]
    try:
        base = client.inspect_image(image["Config"]["Labels"][BASE])  # type: ignore[no-untyped-call]  # its stubs
        is_base_safe = bool(base["RepoTags"])  # the daemon removes parents that have no name
    except NotFound:
        is_base_safe = True
    for name in names:
        try:
            client.remove_image(name, force=False, noprune=not is_base_safe)
            log.info("removed the image %s, which had not been used for a long time", name)
        except APIError as error:
            if error.status_code not in (404, 409):  # somebody else was quicker, or it has a container
                raise
