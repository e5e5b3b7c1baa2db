"""What airlock.yaml may contain: models of its sections."""

from __future__ import annotations

import keyword
import re
from typing import Annotated, Any, Final, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from airlock.backends import Limits
from airlock.logs import Format
from airlock.models import MAX_REPLICAS, PROJECT_NAME

from .secrets import SCHEMA as SECRETS

DEFAULT_PORT: Final = 8000
DEFAULT_MEDIATOR: Final = "agent"
DEFAULT_STORE: Final = "memory"
MAX_FUNCTION: Final = 1000  # characters of a function's name
# For editors: what JSON Schema can say of it. Keywords of Python are refused as well.
FUNCTION: Final = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*$"
_ARCHIVES: Final = (".whl", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")


def check_requirement(text: str) -> str:
    """Accept a name with extras and versions: packages must come from the index that the operator chose.

    Raises ValueError for everything else that pip would accept: options, URLs, paths, files, markers.
    """
    if text.lstrip().startswith("-"):
        raise ValueError("options are not allowed here; write a name like pandas or pandas[excel]>=2.2")
    if re.search(r"[@/\\]", text) or text.strip().lower().endswith(_ARCHIVES):
        raise ValueError("URLs, paths and files are not allowed here; write a name like pandas or pandas[excel]>=2.2")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError("not a requirement; write a name like pandas or pandas[excel]>=2.2") from None
    if requirement.marker is not None:
        raise ValueError("markers (after ';') are not allowed here; leave the requirement out instead")
    return text


def check_module(text: str) -> str:
    """Accept the dotted name of a module. Raises ValueError for everything else."""
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split(".")):
        raise ValueError("not the name of a module, like pandas or xml.etree")
    return text


def check_function(text: str) -> str:
    """Accept a function as "module:function". Raises ValueError for everything else."""
    module, _, function = text.partition(":")
    try:
        check_module(module)
        check_module(function)
    except ValueError:
        raise ValueError("not a function; write module:function, like package.numbers:seed") from None
    return text


def check_name(text: str) -> str:
    """Accept the name of a project or a key. Raises ValueError for everything else."""
    if not re.fullmatch(PROJECT_NAME.removesuffix("$"), text):
        raise ValueError("not a name: 1 to 64 letters, digits, '.', '_' and '-', first a letter or a digit")
    return text


def parse_number(value: object) -> object:
    """Convert the text of a number to the number: `${PORT}` is always text."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value


Function = Annotated[
    str, AfterValidator(check_function), Field(max_length=MAX_FUNCTION, json_schema_extra={"pattern": FUNCTION})
]
Number = Annotated[int, BeforeValidator(parse_number)]


class Section(BaseModel):
    """Base of the sections. A key without a value counts as left out: `projects:` with every project commented out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


def check_sha256(text: str) -> str:
    """Accept a SHA-256 in hex. Raises ValueError, which does not show the text: it may be the key itself."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("not a SHA-256 in 64 hex digits; 'airlock keys new NAME' makes a key and prints it")
    return text.lower()


def check_rate(text: str) -> str:
    """Accept `60/minute`. Raises ValueError for everything else."""
    amount, _, window = text.partition("/")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", amount) or window not in ("second", "minute", "hour", "day"):
        raise ValueError("not a rate; write 60/minute: 1 to 99999, and second, minute, hour or day")
    return text


class KeySection(Section):
    """A key that clients send, known by its hash only."""

    name: Annotated[str, AfterValidator(check_name)] = Field(description="whose key it is; must be unique")
    sha256: Annotated[str, AfterValidator(check_sha256)] = Field(description="SHA-256 of the key in hex")
    projects: list[str] | None = Field(None, min_length=1, description="projects that it may use; default: all")
    rate: Annotated[str, AfterValidator(check_rate)] | None = Field(
        None, description="executions that it may submit, like 60/minute; default: no limit"
    )
    concurrent: Number | None = Field(
        None, ge=1, description="unfinished executions that it may have at once; default: no limit"
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_empty_scope(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("projects", ()) is None:  # perhaps with all its items commented out
            raise ValueError("projects is empty; name the projects, or leave the key out to allow all of them")
        return data


class LogConfig(Section):
    """`server.log:`, which lines `airlock serve` writes to stderr, and how they look."""

    format: Format = Field("auto", description="plain, json, or auto: plain at a terminal, JSON otherwise")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is logged")


class ServerConfig(Section):
    """`server:`, how Airlock is reached."""

    host: str | None = Field(
        None,
        min_length=1,
        description="address to listen on; default: all, or 127.0.0.1 if a project runs code and no key is set",
    )
    port: Number = Field(DEFAULT_PORT, ge=0, le=65_535, description="port to listen on; 0: any free one")
    keys: list[KeySection] = Field([], description="keys that clients send as 'Authorization: Bearer ...'")
    log: LogConfig = Field(LogConfig(), description="format and level of log lines")
    insecure: bool = Field(False, description="serve projects that run code without a key, to anyone who can connect")


class ProjectSection(Section):
    """A project: what runs its scripts, and what they may use."""

    # What `llm` and `backend` may be depends on the installed plugins: projects.py resolves them, and `secrets`.
    description: str = Field("", max_length=1000, description="for agents and people who choose a project")
    replicas: Number = Field(
        1, ge=0, le=MAX_REPLICAS, description="workers kept warm from the start; 0: down until POST /projects/NAME/up"
    )
    packages: list[Annotated[str, AfterValidator(check_requirement)]] = Field(
        [], description="packages that scripts may import: names with extras and versions"
    )
    preload: list[Annotated[str, AfterValidator(check_module)]] = Field(
        [], description="modules imported before an execution needs them"
    )
    preload_strict: bool = Field(
        False, description="keep the project down if a module cannot be preloaded, instead of leaving that one out"
    )
    preload_reseed: list[Function] = Field(
        [],
        description="functions, like faker.generator:random.seed, called before each execution to seed anew what a "
        "preloaded module seeded when it was imported",
    )
    settings: dict[str, str] = Field(
        {}, description="texts that scripts read with settings.get; they override those of the request"
    )
    secrets: Annotated[Any, WithJsonSchema(SECRETS)] = Field(
        {}, description="texts that scripts read with settings.get, and that are shown nowhere"
    )
    limits: Limits = Field(Limits(), description="what one execution, and the project, may use at most")
    llm: Any = Field(DEFAULT_MEDIATOR, description="who answers llm.complete")
    backend: Any = Field(description="what runs the scripts")

    @model_validator(mode="before")
    @classmethod
    def _read_numbers(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(limits := data.get("limits"), dict):
            return {**data, "limits": {key: parse_number(value) for key, value in limits.items()}}
        return data


class File(Section):
    """The configuration of Airlock."""

    # load.py validates each project by itself.
    server: ServerConfig = ServerConfig()
    store: Any = Field(DEFAULT_STORE, description="where executions are remembered")
    default_backend: Any = Field(
        None, description="serves every project name that is not listed; leave it out to answer 404 for them"
    )
    projects: dict[str, Any] = Field({}, description="the projects, by name")
