import collections
import re
import textwrap

LOG = """1.2.3.4 - "GET /a" 200 "Mozilla/5.0"
1.2.3.5 - "GET /b" 404 "curl/8.0"
1.2.3.4 - "POST /a" 500 "Mozilla/5.0"
"""
pattern = re.compile(r'(?P<ip>\S+) - "(?P<method>\w+) (?P<path>\S+)" (?P<status>\d+) "(?P<agent>[^"]+)"')
hits = [match.groupdict() for match in pattern.finditer(LOG)]
print(collections.Counter(hit["agent"].split("/")[0] for hit in hits).most_common())
print(textwrap.fill(" ".join(hit["path"] for hit in hits) * 20, 40))
raise SystemExit("done: 1 server error")
