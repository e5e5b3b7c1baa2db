"""Sales per region, the way a report needs them."""
import io
import pandas as pd

CSV = """region,product,units,price
north,tea,10,2.5
south,tea,4,2.5
north,coffee,7,4.0
south,coffee,9,4.25
west,tea,0,2.5
"""
frame = pd.read_csv(io.StringIO(CSV))
frame["total"] = frame.units * frame.price
print(frame.groupby("region").total.agg(["sum", "mean"]).round(2))
print(frame.pivot_table(index="region", columns="product", values="units", fill_value=0))
