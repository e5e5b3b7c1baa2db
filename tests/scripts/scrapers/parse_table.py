from bs4 import BeautifulSoup

HTML = """<table id=t><tr><th>Name<th>Age<tr><td>Ada &amp; Co<td>36<tr><td>Grace<td>85</table>"""
soup = BeautifulSoup(HTML, "html.parser")
for row in soup.select("#t tr"):
    print([cell.get_text(strip=True) for cell in row.find_all(["th", "td"])])
