"""A slot of a box, seen from the server: the sandbox of one script, or of one after the other."""

from __future__ import annotations

import array
import asyncio
import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Final

from airlock import WorkerLost
from airlock.sandbox import FrameReader
from airlock.worker import codec, syscalls

from . import diagnosis, processes
from .sandbox.layers import PROC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .box import Box
    from .cgroups import Group, Groups
    from .identities import Identity

log = logging.getLogger(__name__)

START_TIMEOUT: Final = 10.0  # seconds
STOP_TIMEOUT: Final = 10.0
LINGER: Final = 2.0  # seconds that a process may take to be gone which has said that its script has finished
MAX_READY: Final = 1 << 16
END, FREE = b"end", b"free"


class Slot:
    """Init and confined process of one sandbox, and what the server holds of them. Made by `make`."""

    def __init__(self, box: Box, group: Group | None, identity: Identity, ours: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._box = box
        self.group = group
        self.identity = identity
        self._socket = ours
        self._descriptor = ours.fileno()
        self.init = -1  # pidfd
        self._proc = -1  # its file system, if it is used for one script after the other
        self._number = 0  # of the box's slots
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._on_exit: Callable[[int | None], None] | None = None
        self._exited = asyncio.Event()  # the script's process is gone
        self._ended = asyncio.Event()  # the slot's own process is gone
        self._free: asyncio.Future[bool] = self._loop.create_future()  # whether another script may have it

    @classmethod
    async def make(cls, box: Box, groups: Groups | None, *, reuse: bool) -> Slot:
        """Have the zygote make one, for one script or with `reuse` for several; returns when it stands ready.

        Raises WorkerLost when the box dies meanwhile, BackendUnavailable when a layer of the sandbox is refused, and
        OSError where the server has no more descriptors.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            identity = box.identities.take()
            try:
                group = None if groups is None else groups.take(templates=int(reuse))
            except OSError:
                ours.close()
                box.identities.give_back(identity)
                raise
            slot = cls(box, group, identity, ours)
            joins = [] if group is None else group.joins
            try:
                slot._number = box.make_slot(identity, [theirs.fileno(), *joins], slot._on_end, reuse=reuse)
            except BaseException:
                await slot.stop()
                raise
        slot._loop.add_reader(slot._descriptor, slot._on_start)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await slot._ready
        except TimeoutError:
            box.kill()  # its zygote hangs: nothing else gets it out of there
            await slot.stop()
            raise WorkerLost(f"no standby within {START_TIMEOUT:g} s") from None
        except BaseException:
            await slot.stop()
            raise
        return slot

    @property
    def is_reused(self) -> bool:
        """Whether it is made for one script after the other."""
        return self._proc >= 0

    def begin(self, descriptors: Sequence[int], on_exit: Callable[[int | None], None]) -> None:
        """Have the process that stands ready wait for its job at [frames, stdout, stderr]. Raises WorkerLost.

        `on_exit` is told once how the script's process ended (negative: by that signal), or None if that was no doing
        of the script.
        """
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        try:
            self._socket.sendmsg([b"\0"], [rights])
        except OSError as error:
            raise WorkerLost(f"the slot does not take a script: {error}") from error
        self._on_exit = on_exit
        self._exited.clear()
        self._free = self._loop.create_future()

    def ask_for_place(self) -> None:
        """Have the script write to stderr where it is, and die, if it does not resist. May do nothing."""
        self._box.ask_for_place(self._number)

    async def has_exited(self, within: float) -> bool:
        """Wait for the end of the script's process, but not longer than `within` seconds."""
        return await _happens(self._exited, within)

    def when_free(self, tell: Callable[[Slot, bool], None]) -> None:
        """Say, soon and once, whether another script may have it. Otherwise stop it.

        Its counters count for the next one from then on.
        """
        self._on_exit = None
        alarm = self._loop.call_later(LINGER, self.give_up)

        def settled(free: asyncio.Future[bool]) -> None:
            alarm.cancel()
            is_free = free.result() and (self.group is None or self.group.is_usable)
            if is_free and self.group is not None:
                self.group.counters.restart()
            tell(self, is_free)

        self._free.add_done_callback(settled)

    @property
    def is_lost(self) -> bool:
        """Whether it is known that nothing can run there any more."""
        return self._free.done() and not self._free.result()

    async def stop(self) -> None:
        """Kill what is left, and give everything back."""
        self._on_exit = None
        self._listen_no_more()
        self._socket.close()
        dead = False
        if self.init >= 0:
            processes.kill(self.init)
            dead = await processes.wait_dead(self.init, STOP_TIMEOUT)
            if self.is_reused:  # a template is outside of what its init takes with it
                dead = await _happens(self._ended, STOP_TIMEOUT) and dead
            os.close(self.init)
            self.init = -1
            if not dead:
                log.error("a sandbox does not die within %g s", STOP_TIMEOUT)
        self._box.forget(self._number)
        if self.is_reused:
            os.close(self._proc)
            self._proc = -1
        if dead:
            self._box.identities.give_back(self.identity)
        if self.group is not None:
            self.group.give_back(empty=dead)
            self.group = None

    def _on_start(self) -> None:
        """Take the word of the zygote or of the slot's process: no script ran yet."""
        if self._ready.done():  # nobody waits for it any more
            self._listen_no_more()
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, MAX_READY, 1)
        except OSError:
            data, descriptors = b"", []
        if data == b"\0":  # the zygote's message; those of the slot's process come next
            (self.init,) = descriptors
            return
        if data == PROC:
            (self._proc,) = descriptors
            return
        self._listen_no_more()
        frames = list(FrameReader(MAX_READY).feed(data))
        if not frames or frames[0][0] != codec.READY:
            self._ready.set_exception(WorkerLost("the standby died at its start"))
        elif (failure := json.loads(frames[0][1])) is not None:
            self._ready.set_exception(diagnosis.explain(failure["step"], failure["errno"], failure["message"]))
        elif self.is_reused:
            self._loop.add_reader(self._descriptor, self._on_message)  # of the template's first fork
        else:
            self._ready.set_result(None)

    def _on_message(self) -> None:
        """Take the word of a template."""
        try:
            data = self._socket.recv(16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._is_over(None)
        elif data == FREE:
            self._on_free()
        else:
            self._tell(int(code) if (code := data.removeprefix(END)) else None)

    def _on_free(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
        if self._free.done() or not self._exited.is_set():
            return
        try:
            syscalls.shrink(self._proc)
        except OSError as error:
            log.warning("sandboxes cannot be used again: %s", error)
            self._box.reuses = False
        self._free.set_result(self._box.reuses)

    def give_up(self) -> None:
        """Let no other script have it."""
        if not self._free.done():
            self._free.set_result(False)

    def _on_end(self, code: int | None) -> None:
        """Take the word of the zygote that its process is gone."""
        self._ended.set()
        self._is_over(code)

    def _is_over(self, code: int | None) -> None:
        if not self.is_reused:
            while not self._ready.done():
                self._on_start()  # it may have been ready, which it is no more
        elif not self._ready.done():
            self._ready.set_exception(WorkerLost("the standby died at its start"))
        self._listen_no_more()
        self._tell(code)
        self.give_up()

    def _listen_no_more(self) -> None:
        if self._socket.fileno() >= 0:  # otherwise the number may be another one's by now
            self._loop.remove_reader(self._descriptor)

    def _tell(self, code: int | None) -> None:
        self._exited.set()
        on_exit, self._on_exit = self._on_exit, None
        if on_exit is not None:
            on_exit(code)


async def _happens(event: asyncio.Event, within: float) -> bool:
    """Wait for it, but not longer than `within` seconds."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False
