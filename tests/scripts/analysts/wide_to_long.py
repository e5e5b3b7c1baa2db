import csv
import sys

rows = [{"city": "Oslo", "2021": "3", "2022": "4"}, {"city": "Rome", "2021": "15", "2022": "16"}]
writer = csv.writer(sys.stdout, delimiter=";", quoting=csv.QUOTE_NONNUMERIC)
writer.writerow(["city", "year", "value"])
for row in rows:
    for year in ("2021", "2022"):
        writer.writerow([row["city"], int(year), float(row[year])])
