"""airlock.yaml: found, read with positions, checked against the installed plugins, and resolved.

A server or a command loads it once, at startup. It must know nothing of live executions.
"""

from .config import Config
from .json_schema import json_schema
from .load import FILE, find_config, load_config
from .projects import ProjectConfig
from .sections import KeySection, check_name

__all__ = [
    "FILE",
    "Config",
    "KeySection",
    "ProjectConfig",
    "check_name",
    "find_config",
    "json_schema",
    "load_config",
]
