π = 3.14159
naïve = {"ключ": "значение", "日本": "東京"}
print(f"{π:.2f}", naïve["日本"], "ключ" in naïve, len("👩‍🚀"), "ß".upper())
print("\N{GREEK SMALL LETTER ALPHA}".isidentifier(), ascii("é"))
