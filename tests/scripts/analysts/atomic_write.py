"""Writes a report to a temporary file first, so that nobody finds half of it."""

import json
import os
import tempfile

with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as draft:
    json.dump({"rows": 3}, draft)
os.replace(draft.name, "report.json")
with open("report.json") as report:
    print(json.load(report))
