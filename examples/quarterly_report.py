"""A quarterly sales report, as an agent might write it: pandas, changes since the last report, one LLM sentence.

Runs inside the sandbox; `settings`, `memory`, `llm` and `set_result` come from Airlock. The orders arrive as a setting:

    airlock run examples/quarterly_report.py --project python \
        --setting orders=@examples/orders.csv --memory report.json --llm ask
"""

import io

import pandas as pd

orders = pd.read_csv(io.StringIO(settings.get("orders")), parse_dates=["date"])
orders["revenue"] = orders["units"] * orders["price"]
orders["quarter"] = orders["date"].dt.to_period("Q").astype(str)

by_region = orders.pivot_table(index="quarter", columns="region", values="revenue", aggfunc="sum").round(2)
by_region["Total"] = by_region.sum(axis=1)
print(f"{len(orders)} orders, {orders['date'].min():%Y-%m-%d} to {orders['date'].max():%Y-%m-%d}")
print(by_region.to_string())

totals = by_region["Total"]
quarter, total = totals.index[-1], float(totals.iloc[-1])
growth = round(100 * (total / float(totals.iloc[-2]) - 1), 1)
best = orders[orders["quarter"] == quarter].groupby("product")["revenue"].sum().idxmax()

last = memory.get("report", "last")
print("first report" if last is None else f"last report: {last['quarter']}, {last['total']:.2f}")

summary = llm.complete(
    f"Say in one sentence how {quarter} went: revenue {total:.2f}, {growth:+} % on the quarter before, "
    f"best product {best}."
)

memory.set("report", "last", {"quarter": quarter, "total": round(total, 2)})
set_result({"quarter": quarter, "total": round(total, 2), "growth": growth, "best": best, "summary": summary})
