"""Writes a workbook, reads it again."""
import openpyxl
from openpyxl.styles import Font

book = openpyxl.Workbook()
sheet = book.active
sheet.title = "Totals"
for row in [("item", "count"), ("apples", 3), ("pears", 5), ("sum", "=SUM(B2:B3)")]:
    sheet.append(row)
sheet["A1"].font = Font(bold=True)
book.save("report.xlsx")

again = openpyxl.load_workbook("report.xlsx")
for row in again["Totals"].iter_rows(values_only=True):
    print(row)
print(again["Totals"]["A1"].font.bold)
