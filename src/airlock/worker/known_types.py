"""Types of libraries that have a plain form, by name: nothing is imported for a value that has none of them.

A class is looked up by the first part of its module and its own name, because libraries move theirs about
(`pandas.core.frame.DataFrame` is `pandas.DataFrame` since pandas 3). A script that gives its own class such a name
deceives only itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Room = Callable[[int], None]
    """Raises when that many values are too many for the limit, before they are made."""


class Fields(dict[str, Any]):
    """What an object has by attribute, as a dict."""


class Unfit(Exception):
    """Raised when this value has no form, whatever its type; the message follows the path."""


def _model(value: Any, room: Room) -> Any:
    made = value.model_dump() if hasattr(value, "model_dump") else value.dict()  # before pydantic 2
    return Fields(made) if isinstance(made, dict) else made  # a RootModel is what it holds


def _scalar(value: Any, room: Room) -> Any:
    """Return a scalar of NumPy as Python's; one of extended precision would stay as it is with `item()`."""
    kind = value.dtype.kind
    if kind in "iu":
        return int(value)
    if kind == "f":
        return float(value)
    if kind == "M":
        return _moment(str(value))
    if kind == "m":
        return _seconds(value)
    if kind == "V" and value.dtype.names:
        return {name: value[name] for name in value.dtype.names}
    return value if kind == "c" else value.item()


def _moment(text: str) -> str | None:
    if text == "NaT":
        return None
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(value: Any) -> Any:
    if str(value) == "NaT":
        return None
    try:
        return float(value / type(value)(1, "s"))
    except TypeError:  # months have no length
        return value


def _array(value: Any, room: Room) -> Any:
    room(value.size)
    if value.dtype.kind not in "MmV":
        return value.tolist()
    return list(value) if value.ndim else value[()]  # `tolist` forgets their units and names


def _series(value: Any, room: Room) -> Any:
    room(len(value))
    if not _is_labelled(value.index):
        return value.tolist()
    if not value.index.is_unique:
        raise Unfit("has the same label twice; pass its reset_index() or tolist()")
    return dict(zip(value.index.tolist(), value.tolist()))


def _frame(value: Any, room: Room) -> Any:
    """Make a dict of each row."""
    room(value.shape[0] * value.shape[1])
    if _is_labelled(value.index):
        try:
            value = value.reset_index()
        except ValueError as error:  # the name of a level is that of a column, too
            raise Unfit(f"cannot take its index as a column: {error}") from None
    if not value.columns.is_unique:
        raise Unfit(f"has two columns of the same name ({value.columns[value.columns.duplicated()][0]!r})")
    names = value.columns.tolist()
    columns = [value.iloc[:, number].tolist() for number in range(len(names))]
    return [dict(zip(names, row)) for row in zip(*columns)]


def _is_labelled(index: Any) -> bool:
    """Tell whether an index says more than which row it was."""
    return index.nlevels > 1 or index.name is not None or index.dtype.kind not in "iu"


def _polars_frame(value: Any, room: Room) -> Any:
    room(value.height * value.width)
    return value.to_dicts()


def _polars_series(value: Any, room: Room) -> Any:
    room(len(value))
    return value.to_list()


def _list(value: Any, room: Room) -> Any:
    room(len(value))
    return value.tolist()


def _text(value: Any, room: Room) -> str:
    return str(value)


def _iso(value: Any, room: Room) -> str:
    return str(value.isoformat())


def _nothing(value: Any, room: Room) -> None:
    return None


CONVERT: dict[str, Callable[[Any, Room], Any]] = {
    "array.array": _list,  # a sequence only since Python 3.10
    "collections.UserString": _text,
    "datetime.date": _iso,  # and so datetime, and Timestamp of pandas
    "datetime.time": _iso,
    "datetime.timedelta": lambda value, room: value.total_seconds(),
    "decimal.Decimal": lambda value, room: str(value) if value.is_finite() else float("nan"),
    "enum.Enum": lambda value, room: value.value,
    "fractions.Fraction": _text,
    "numpy.generic": _scalar,
    "numpy.ndarray": _array,
    "pandas.DataFrame": _frame,
    "pandas.ExtensionArray": _list,  # Categorical is one
    "pandas.Index": _list,
    "pandas.Interval": _text,
    "pandas.NAType": _nothing,
    "pandas.NaTType": _nothing,
    "pandas.Period": _text,
    "pandas.Series": _series,
    "pathlib.PurePath": _text,
    "polars.DataFrame": _polars_frame,
    "polars.Series": _polars_series,
    "pydantic.BaseModel": _model,
    "sqlite3.Row": lambda value, room: dict(value),
    "types.SimpleNamespace": lambda value, room: Fields(vars(value)),
    "uuid.UUID": _text,
}
"""By name: what makes a plainer value of one. What it makes is looked at again."""


def find(kind: type) -> Callable[[Any, Room], Any] | None:
    """Return what makes a plainer value of this type, if it is known."""
    for base in kind.__mro__:
        found = CONVERT.get(f"{str(base.__module__).partition('.')[0]}.{base.__qualname__}")
        if found is not None:
            return found
    if hasattr(kind, "__dataclass_fields__"):
        return _dataclass
    return _attrs if hasattr(kind, "__attrs_attrs__") else None


def _dataclass(value: Any, room: Room) -> Fields:
    from dataclasses import fields  # noqa: PLC0415 - whoever has a dataclass has loaded it

    return Fields({field.name: getattr(value, field.name) for field in fields(value)})


def _attrs(value: Any, room: Room) -> Fields:
    return Fields({field.name: getattr(value, field.name) for field in value.__attrs_attrs__})
