"""The metrics, and how they are shown. The number of series is bounded, whatever names clients and scripts make up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airlock import Client, ExecutionResult, GatewayView, ProjectInfo

UNLISTED: Final = "(unlisted)"  # not a valid name of a project
OTHER: Final = "(other)"
MAX_ERROR_TYPES: Final = 32  # core has about fourteen; a backend may add its own

# Seconds. A warm worker starts a script within milliseconds; a script may run for hours, a model answers in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

GAUGES: Final = {
    "airlock_queued": ("Executions waiting for a worker", "queued"),
    "airlock_running": ("Running executions", "running"),
    "airlock_paused": ("Executions awaiting an LLM answer", "paused"),
    "airlock_replicas": ("Warm workers that the project keeps", "replicas"),
    "airlock_idle_workers": ("Warm workers that are idle", "idle_workers"),
}


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, gateway: GatewayView) -> None:
        self._gateway = gateway
        self._registry = CollectorRegistry()
        self._error_types: set[str] = set()
        self._executions = Counter(
            "airlock_executions",
            "Finished executions",
            ["project", "backend", "status", "error_type"],
            registry=self._registry,
        )
        self._queued = self._seconds("airlock_queued_seconds", "Time from acceptance to the start of the script")
        self._run = self._seconds("airlock_run_seconds", "Run time, without queue and pauses")
        self._llm_wait = self._seconds("airlock_llm_wait_seconds", "Time in which an execution awaited LLM answers")
        self._start = self._seconds("airlock_start_seconds", "Time that a project took to have all its workers ready")

    def finished(self, project: str, result: ExecutionResult) -> None:
        """Count a finished execution."""
        backend = self._gateway.backends.get(project, UNLISTED)
        label = self._label(project)
        self._executions.labels(label, backend, result.status.value, self._error_type(result.error_type)).inc()
        for histogram, milliseconds in (
            (self._queued, getattr(result, "queued_ms", None)),
            (self._run, result.execution_time_ms),
            (self._llm_wait, getattr(result, "llm_wait_ms", None) or None),  # without LLM requests there was no wait
        ):
            if milliseconds is not None:
                histogram.labels(label).observe(milliseconds / 1000)

    def started(self, project: str, seconds: float) -> None:
        """Record how long a project took to come up or to grow."""
        self._start.labels(self._label(project)).observe(seconds)

    async def text(self, client: Client) -> bytes:
        """Return what this client may see, in Prometheus's text format."""
        seen = self._gateway.for_client(client)
        families = [*self._counted(client), *self._gauges(await seen.projects(), seen.unready())]
        return generate_latest(_Shown(families))

    def _counted(self, client: Client) -> Iterator[Metric]:
        """Yield the counted metrics, without the creation times of series."""
        for counted in self._registry.collect():
            family = Metric(counted.name, counted.documentation, counted.type, counted.unit)
            family.samples = [
                sample
                for sample in counted.samples
                if client.may_use(sample.labels["project"]) and not sample.name.endswith("_created")
            ]
            yield family

    def _gauges(self, projects: Sequence[ProjectInfo], unready: Mapping[str, str]) -> Iterator[Metric]:
        """Yield the current state of the projects."""
        up = GaugeMetricFamily("airlock_project_up", "1 while the project is up", labels=["project"])
        for project in projects:
            up.add_metric([project.name], float(project.status == "up"))
        yield up
        failing = GaugeMetricFamily(
            "airlock_project_unready", "1 while the project should be up but is not", labels=["project"]
        )
        for project in projects:
            failing.add_metric([project.name], float(project.name in unready))
        yield failing
        for name, (documentation, field) in GAUGES.items():
            gauge = GaugeMetricFamily(name, documentation, labels=["project"])
            for project in projects:
                gauge.add_metric([project.name], getattr(project, field))
            yield gauge

    def _seconds(self, name: str, documentation: str) -> Histogram:
        return Histogram(name, documentation, ["project"], buckets=BUCKETS, registry=self._registry)

    def _label(self, project: str) -> str:
        """Return the label of a project. Unlisted ones share one, because clients may make up any number of names."""
        return project if project in self._gateway.backends else UNLISTED

    def _error_type(self, name: str | None) -> str:
        if name is None:
            return ""
        if len(self._error_types) < MAX_ERROR_TYPES:
            self._error_types.add(name)
        return name if name in self._error_types else OTHER


class _Shown:
    """Stands in for the registry that `generate_latest` expects."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
