import numpy as np
import pandas as pd

index = pd.date_range("2024-01-01", periods=96, freq="h")
series = pd.Series(np.arange(96), index=index)
print(series.resample("D").agg(["min", "max", "mean"]))
print(series.rolling("12h").sum().iloc[-1], series.index.tz_localize("UTC")[0])
