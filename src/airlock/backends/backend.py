"""The contract of a backend: what runs code, and what it may do with core.

A plugin's backend in full, without its hook (see `hookspecs.py`):

    class EchoSettings(BackendSettings):
        prefix: str = ""

    class EchoBackend(Backend[EchoSettings]):
        type = "echo"
        runs_code = False
        Settings = EchoSettings

        async def scale(self, replicas: int) -> None:
            self._replicas = replicas

        def pool(self) -> Pool:
            return Pool(replicas=self._replicas, idle=self._replicas)

        async def execute(self, job: Job, run: Run) -> Outcome:
            await run.started()
            run.write("stdout", job.code.encode())
            return Outcome(result=self.settings.prefix + job.code)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airlock.models import LLMRequest

    from .outcome import Outcome

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What airlock.yaml says about a project, apart from its backend's own settings.

    `packages` are requirements, `preload` are modules to import before an execution needs them, and `preload_reseed`
    functions ("module:function") to call without arguments in each process that runs a script, before the script.
    A module that cannot be preloaded is left out with a warning, or with `preload_strict` keeps the project down.
    """

    name: str
    description: str = ""
    packages: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    preload_strict: bool = False
    preload_reseed: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One script to run. `id` is for logs and labels, and the script never sees it; `timeout` is seconds of run time.

    Core keeps the deadline, by cancelling `execute`; a backend may use `timeout` to limit CPU time.
    `settings` may hold secrets: keep them out of logs, labels, arguments and environments. `memory` maps "category.key"
    to a JSON value.
    """

    id: str
    code: str
    timeout: int
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The state of a backend's workers: how many it should keep warm, how many are idle, and a detail worth showing."""

    replicas: int
    idle: int
    detail: str | None = None


def check_write(stream: object, data: object) -> None:
    """Raise TypeError when `Run.write` cannot take these arguments."""
    if stream not in ("stdout", "stderr") or not isinstance(data, bytes):
        raise TypeError(f"write({stream!r}, {type(data).__name__}) takes 'stdout' or 'stderr', and bytes")


class Run(Protocol):
    """The only way from a running job back into core. Passed to `execute`, valid until `execute` returns."""

    @property
    def has_started(self) -> bool:
        """Whether `started` was called. Before that, a lost worker may be replaced silently; afterwards, never."""

    async def started(self) -> None:
        """Report that the code is about to be handed over; returns when that is stored. Call it exactly once.

        The status becomes `running` and the clock starts. After this call the code may have run: user code has side
        effects, so it is never handed to another worker.
        """

    def write(self, stream: Stream, data: bytes) -> None:
        """Report output as it comes, in pieces of any size. Core redacts, caps and decodes it."""

    async def complete(self, request: LLMRequest) -> str:
        """Pass on the script's LLM request; returns the answer, however long that takes.

        Call it in one task per request, so that reading from the sandbox never waits for an answer. The execution's
        clock is stopped meanwhile.

        Raises LLMError when the answer is an error: pass its text to the script.
        """

    def note(self, text: str) -> None:
        """Add a sentence to the execution's `error`, whatever causes that: a limit that was also reached, say.

        An execution that completes has no `error`; say such a thing on stderr, too.
        """

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        """Keep what the script has reported so far. Call it before a cancelled `execute` re-raises.

        The execution shows it, whatever ended it, unless its `Outcome` has a result or memory updates. Values that are
        not JSON, or over `limits.result`, are dropped.
        """

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """Have `changed(True)` called when the clock stops for an LLM request, `changed(False)` when it continues.

        A sandbox uses it to limit what a script computes while its clock is stopped. There is only one listener.
        """


USED_BY_BACKEND: Final = frozenset({"packages", "preload", "preload_reseed"})
"""The keys of a project that only a backend can implement. Core implements all others, for every backend."""


class BackendSettings(BaseModel):
    """Base of a backend's own options in airlock.yaml, next to `type`. An unknown key is a configuration error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SettingsClass = type[BackendSettings]
S = TypeVar("S", bound=BackendSettings)


class Backend(ABC, Generic[S]):
    """Runs code for one project; core makes one instance per project.

    `type` is the word in airlock.yaml. `runs_code` is False only if no script is ever executed: such projects may be
    served without a key. `enforces` names the `limits:` (of `limits.ENFORCED_BY_BACKEND`) that this backend enforces,
    and `uses` which of the project's `packages`, `preload` and `preload_reseed` it implements: airlock.yaml may set no
    others. `Settings` are its options: core validates airlock.yaml against them. `isolation` tells operators in one
    line what separates scripts from the host; it may be refined on the instance once `scale` has inspected the machine.
    """

    type: ClassVar[str]
    runs_code: ClassVar[bool] = True
    enforces: ClassVar[frozenset[str]] = frozenset()
    uses: ClassVar[frozenset[str]] = frozenset()
    Settings: ClassVar[SettingsClass] = BackendSettings
    isolation: str = "none"

    def __init__(self, project: Project, settings: S) -> None:
        """Keep the configuration. No I/O: core also creates instances only to inspect them.

        An override calls this one first.
        """
        self.project = project
        self.settings = settings
        if not self.runs_code and self.isolation == Backend.isolation:
            self.isolation = "runs no code"

    @abstractmethod
    async def scale(self, replicas: int) -> None:
        """Keep this many workers ready; 0 means down. Returns when they are ready.

        Core calls it at startup, on `up` and on `down`, one call at a time. Running `execute` calls go on and finish.

        A shutdown cancels it when it takes long: undo what was started, and re-raise; `scale(0)` and `close` follow.

        Raises BackendUnavailable, with the remedy, when that is not possible; the next call may succeed. Existing
        workers stay, and `pool` says how many: the project continues with those.
        """

    @abstractmethod
    def pool(self) -> Pool:
        """Return the state of the workers. Called by `GET /projects`: no I/O."""

    @abstractmethod
    async def execute(self, job: Job, run: Run) -> Outcome:
        """Run one job on a fresh worker. Core calls it at most `replicas` times at once.

        A failure of the user's code is an `Outcome`; an exception is a fault of the backend. When cancelled, kill what
        runs, pass the remaining output to `run.write` and what the script has reported to `run.keep`, and re-raise, all
        within two seconds.
        """

    async def close(self) -> None:
        """Release everything. Called once, after core has ended all executions and called `scale(0)`."""
        return
