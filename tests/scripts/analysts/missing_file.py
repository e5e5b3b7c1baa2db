import pandas as pd

frame = pd.read_csv("data/does_not_exist.csv")
print(frame.head())
