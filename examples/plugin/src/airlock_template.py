"""Fills in templates: the code `Dear $name` with the setting `name` gives `Dear Ada`."""

from collections.abc import Iterable
from string import Template
from typing import Any

import airlock


class TemplateSettings(airlock.BackendSettings):
    """`strict`: a placeholder without a setting is an error; otherwise it stays in the text."""

    strict: bool = True


class TemplateBackend(airlock.Backend[TemplateSettings]):
    """Runs no code, so it needs no sandbox, and its workers cost nothing."""

    type = "template"
    runs_code = False
    isolation = "runs no code"
    Settings = TemplateSettings
    replicas = 0

    async def scale(self, replicas: int) -> None:
        self.replicas = replicas

    def pool(self) -> airlock.Pool:
        return airlock.Pool(replicas=self.replicas, idle=self.replicas)

    async def execute(self, job: airlock.Job, run: airlock.Run) -> airlock.Outcome:
        await run.started()
        template = Template(job.code)
        fill_in = template.substitute if self.settings.strict else template.safe_substitute
        try:
            text = fill_in(job.settings)
        except (KeyError, ValueError) as error:  # the user's mistake is an outcome, not an exception
            return airlock.Outcome(error=f"{type(error).__name__}: {error}", error_type="script_error")
        run.write("stdout", text.encode())
        return airlock.Outcome(result=text)


@airlock.hookimpl
def airlock_register_backends() -> Iterable[type[airlock.Backend[Any]]]:
    return [TemplateBackend]
