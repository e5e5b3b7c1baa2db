import mimetypes

for name in ("a.html", "b.tar.gz", "c.xlsx", "d.webp", "e.unknown-thing", "f.csv", "g.json"):
    print(name, mimetypes.guess_type(name))
