"""Images of projects are removed when nobody used them for long: only ours, and none that is in use."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import docker
import pytest

from airlock_docker import images, old_images

if TYPE_CHECKING:
    from containers.conftest import Daemon, Up

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("daemons")]  # a daemon of its own is enough at a time


class Images:
    """Images on a daemon of our own, as projects leave them."""

    def __init__(self, daemon: Daemon, base: str) -> None:
        self.base = base
        self.client = docker.APIClient(daemon.host)

    def make(self, name: str, owner: str | None = None) -> str:
        base = self.client.inspect_image(self.base)["Id"]  # type: ignore[no-untyped-call]
        labels = {old_images.OWNER: owner or old_images.owner(), old_images.BASE: base}
        dockerfile = io.BytesIO(f"FROM {base}\nCMD [{name!r}]\n".encode())
        tag = f"{images.REPOSITORY}:{name}"
        list(self.client.build(fileobj=dockerfile, tag=tag, labels=labels, rm=True))
        return tag

    def left(self) -> set[str]:
        found = self.client.images(images.REPOSITORY)
        return {tag.partition(":")[2] for image in found for tag in image["RepoTags"] or ()}


@pytest.fixture
def made(own_daemon: Daemon, base_image: str) -> Iterator[Images]:
    own_daemon.start()
    own_daemon.copy_image(base_image)
    made = Images(own_daemon, base_image)
    yield made
    made.client.close()


async def test_only_our_own_unused_images_are_removed(
    own_daemon: Daemon, made: Images, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(replicas=1, settings={"docker_host": own_daemon.host})
    assert up.backend._engine is not None
    (own,) = made.left()
    for name in ("a", "b", "c", "d"):
        made.make(name)
    made.make("stranger", owner="0123456789abcdef")
    made.client.tag(f"{images.REPOSITORY}:a", images.REPOSITORY, "a")  # a project that uses it comes up

    await old_images.remove(up.backend._engine)
    assert made.left() == {own, "a", "b", "c", "d", "stranger"}
    await old_images.remove(up.backend._engine, keep=2)
    assert made.left() == {own, "a", "d", "stranger"}
    await old_images.remove(up.backend._engine, keep_days=0)
    assert made.left() == {own, "stranger"}  # the first has a container
    assert made.client.inspect_image(made.base)  # type: ignore[no-untyped-call]
    assert await up.result("set_result(1)") == 1


async def test_a_base_image_that_lost_its_name_is_not_removed_with_what_was_built_on_it(
    own_daemon: Daemon, made: Images, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(settings={"docker_host": own_daemon.host})
    assert up.backend._engine is not None
    made.make("a")
    base = made.client.inspect_image(made.base)["Id"]  # type: ignore[no-untyped-call]
    await up.backend.scale(0)
    own_daemon.docker("rmi", made.base)  # as `docker pull` of a newer one takes the name away
    await old_images.remove(up.backend._engine, keep_days=0)
    assert made.left() == set()
    assert made.client.inspect_image(base)  # type: ignore[no-untyped-call]


async def test_an_image_that_is_used_again_is_as_new(
    own_daemon: Daemon, made: Images, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(settings={"docker_host": own_daemon.host})
    (own,) = made.left()
    made.make("newer")
    await up.backend.scale(0)
    await up.backend.scale(1)
    await up.backend.scale(0)
    assert up.backend._engine is not None
    await old_images.remove(up.backend._engine, keep=1)
    assert made.left() == {own}
