"""What values of NumPy, pandas, polars and attrs become: with the real packages."""

from typing import Any

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.long]

CODE = """
import datetime
import attr, numpy as np, pandas as pd, polars as pl

@attr.s
class Point:
    x = attr.ib()

table = pd.DataFrame({"k": ["a", "b", "a"], "n": [1, 2, 3], "f": [1.5, None, 3]})
table["d"] = pd.Timestamp("2026-01-02")
values = {
    "scalars": [np.int64(1), np.float32(1.5), np.bool_(1), np.str_("x"), np.bytes_(b"x"), np.longdouble(2)],
    "moments": [np.datetime64("2026-01-02T03:04:05.5", "ns"), np.datetime64("NaT"), np.timedelta64(90, "s")],
    "arrays": [np.arange(4).reshape(2, 2), np.array(5), np.ma.array([1, 2], mask=[0, 1]),
               np.array(["2026-01-02"], dtype="M8[ns]"), np.array([(1, "a")], dtype=[("n", "i4"), ("s", "U5")]),
               np.array([b"x", None, np.int8(1)], dtype=object)],
    "pandas": [pd.NaT, pd.NA, pd.Timestamp("2026-01-02 03:04"), pd.Timedelta("1 min"), pd.Period("2026-01"),
               pd.Interval(0, 1), pd.Categorical(["a", "b"]), pd.Index([1, 2]), pd.array([1, None], dtype="Int64"),
               pd.MultiIndex.from_tuples([(1, 2)])],
    "tables": [table, table.groupby("k").sum(numeric_only=True), table[["n"]].describe().head(1)],
    "columns": [table["n"], table[table.n > 1]["n"], table[["n", "f"]].mean(), table["k"].value_counts(),
                table.groupby(["k", "n"])["f"].sum()],
    "polars": [pl.DataFrame({"a": [1, None], "d": [datetime.date(2026, 1, 2)] * 2}), pl.Series([1, 2])],
    "attrs": Point(np.int8(1)),
    "keys": {np.int64(1): np.bool_(0), pd.Timestamp("2026-01-02"): 1, np.str_("a"): 2},
}
refused = []
for value in (
    np.complex64(1), [pd.DataFrame([[1, 2]], columns=["a", "a"])], pd.Series([1, 2], index=["a", "a"]),
    table.set_index("k", drop=False), table.assign(o=[1, 2, object()]), np.zeros(10**8, np.int8),
    pd.DataFrame({"a": np.zeros(10**6)}), pl.Series(np.zeros(10**6)),
):
    try:
        set_result(value)
    except (TypeError, ValueError) as error:
        refused.append(f"{type(error).__name__}: {str(error).split(': ')[1]}")
values["refused"] = refused
set_result(values)
"""
EXPECTED = {
    "scalars": [1, 1.5, True, "x", {"$base64": "eA=="}, 2.0],
    "moments": ["2026-01-02T03:04:05.5", None, 90.0],
    "arrays": [
        [[0, 1], [2, 3]],
        5,
        [1, None],
        ["2026-01-02T00:00:00"],
        [{"n": 1, "s": "a"}],
        [{"$base64": "eA=="}, None, 1],
    ],
    "pandas": [
        *(None, None, "2026-01-02T03:04:00", 60.0, "2026-01", "(0, 1]"),
        *(["a", "b"], [1, 2], [1, None], [[1, 2]]),
    ],
    "tables": [
        [
            {"k": "a", "n": 1, "f": 1.5, "d": "2026-01-02T00:00:00"},
            {"k": "b", "n": 2, "f": None, "d": "2026-01-02T00:00:00"},
            {"k": "a", "n": 3, "f": 3.0, "d": "2026-01-02T00:00:00"},
        ],
        [{"k": "a", "n": 4, "f": 4.5}, {"k": "b", "n": 2, "f": 0.0}],
        [{"index": "count", "n": 3.0}],
    ],
    "columns": [
        [1, 2, 3],
        [2, 3],
        {"n": 2.0, "f": 2.25},
        {"a": 2, "b": 1},
        {"('a', 1)": 1.5, "('a', 3)": 3.0, "('b', 2)": 0.0},
    ],
    "polars": [[{"a": 1, "d": "2026-01-02"}, {"a": None, "d": "2026-01-02"}], [1, 2]],
    "attrs": {"x": 1},
    "keys": {"1": False, "2026-01-02T00:00:00": 1, "a": 2},
}
REFUSED = [
    "TypeError: result is of type numpy.complex64, which has no form in JSON",
    "ValueError: result[0] has two columns of the same name ('a')",
    "ValueError: result has the same label twice; pass its reset_index() or tolist()",
    "ValueError: result cannot take its index as a column",
    'TypeError: result[2]["o"] is of type builtins.object, which has no form in JSON',
    "ValueError: result is more than fits into limits.result (1048576 bytes)",
    *["ValueError: result is more than fits into limits.result (1048576 bytes)"] * 2,
]


async def test_values_of_the_usual_packages_have_a_form(make_local: Any) -> None:
    local = await make_local(packages=("numpy", "pandas", "polars", "attrs"))
    ran = await local.run(CODE)
    assert ran.result is not None, ran.stderr
    refused = ran.result.pop("refused")
    assert ran.result == EXPECTED
    assert refused == REFUSED
    where = 'set_result: result["tables"][0][1]["f"]'
    assert ran.stderr == f"airlock: {where} is NaN or infinite, so null in JSON\n"
