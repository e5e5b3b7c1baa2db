"""Test files as plugin authors write them, and the plugins that they test: good ones, and deliberately bad ones."""

import pytest

ECHO = """
import asyncio, os, pytest
import airlock
from airlock.testing import BackendContract

class Echo(airlock.Backend[airlock.BackendSettings]):
    type = "echo"
    runs_code = False
    replicas = 0

    async def scale(self, replicas):
        self.replicas = replicas

    def pool(self):
        return airlock.Pool(replicas=self.replicas, idle=self.replicas)

    async def execute(self, job, run):
        await run.started()
        run.write("stdout", job.code.encode())
        if job.code == "endless":
            await asyncio.sleep(3600)
        return airlock.Outcome(result=job.code)

class Suite(BackendContract):
    endless_code = "endless"
    patience = 5

    def make_backend(self, project):
        return Fake(project, Fake.Settings())
"""

PLAIN = """
import asyncio, airlock
from airlock.testing import BackendContract
from plain_process import PlainBackend

class Suite(BackendContract):
    capabilities = frozenset({"streams_output", "subprocesses"})
    patience = 60

    def make_backend(self, project):
        return Fake(project, airlock.BackendSettings())
"""


def failures(pytester: pytest.Pytester, suite: str, *arguments: str) -> set[str]:
    pytester.makepyfile(suite)
    reports = pytester.inline_run("-W", "error", "--strict-markers", "-p", "no:cacheprovider", *arguments)
    passed, _, failed = reports.listoutcomes()
    assert passed or failed, "nothing ran"
    return {report.nodeid.partition("::")[2].partition("::")[2].partition("[")[0] for report in failed}


def with_fake(base: str, fake: str) -> str:
    return f"{base}\n{fake}\nFake.type = vars(Fake).get('type', 'fake')\n\nclass TestFake(Suite):\n    pass\n"
