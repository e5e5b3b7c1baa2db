"""The packages that most people use, imported ahead of need. Run by `make test-more`: they are big."""

from typing import Any

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.more]

PACKAGES = "matplotlib seaborn plotly pandas pyarrow scikit-learn scipy sympy duckdb numba"
MODULES = "matplotlib.pyplot seaborn plotly.express pandas pyarrow sklearn.ensemble scipy.stats sympy duckdb numba"
USED = """
import sys
there = [name for name in names if name not in sys.modules]
import duckdb, matplotlib.pyplot as plt, numba, pandas as pd, pyarrow, sklearn.ensemble, sympy
frame = pd.DataFrame({"x": [1, 2, 3], "y": [2.0, 4.0, 6.0]})
frame.to_parquet("frame.parquet")
frame.plot(x="x", y="y")
plt.savefig("plot.png")
forest = sklearn.ensemble.RandomForestRegressor(n_jobs=2).fit(frame[["x"]], frame["y"])
set_result([
    there,
    float(pd.read_parquet("frame.parquet")["y"].sum()),
    duckdb.sql("SELECT sum(x) FROM frame").fetchall()[0][0],
    numba.njit(lambda n: n + 1)(41),
    str(sympy.integrate(sympy.Symbol("x"), sympy.Symbol("x"))),
    len(forest.predict(frame[["x"]])),
])
"""


async def test_usual_packages_are_preloaded_and_work(make_local: Any) -> None:
    local = await make_local(
        packages=tuple(PACKAGES.split()),
        preload=tuple(MODULES.split()),
        preload_strict=True,
        memory="2GiB",
    )
    code = f"names = {MODULES.split()}\n{USED}"
    for _ in range(2):
        assert await local.result(code) == [[], 12.0, 6, 42, "x**2/2", 3]
