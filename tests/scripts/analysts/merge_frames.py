import pandas as pd

left = pd.DataFrame({"key": ["a", "b", "c"], "x": [1, 2, 3]})
right = pd.DataFrame({"key": ["b", "c", "d"], "y": [4.0, None, 6.0]})
merged = left.merge(right, on="key", how="outer", indicator=True)
print(merged.to_string())
print(merged.isna().sum().to_dict())
merged.to_csv("merged.csv", index=False)
print(open("merged.csv").read())
