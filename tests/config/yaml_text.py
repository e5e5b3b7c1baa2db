"""The data and the problems of an airlock.yaml that is given as text."""

from airlock.config import yaml_source
from airlock.errors import ConfigError


def parse(text: str, **environ: str) -> object:
    return yaml_source.parse(text, "airlock.yaml", environ).data


def problems(text: str, **environ: str) -> list[str]:
    try:
        found = yaml_source.parse(text, "airlock.yaml", environ).told([])
    except ConfigError as error:
        return error.problems
    assert found
    return found
