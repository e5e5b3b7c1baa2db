import sys
import unicodedata

for name in ("latin-1", "utf-16", "shift_jis", "cp1252"):
    raw = "Café".encode(name, "replace")
    print(name, raw.hex(), raw.decode(name))
print(unicodedata.normalize("NFKD", "Ångström").encode("ascii", "ignore").decode())
print(sys.stdout.encoding, sys.getdefaultencoding(), "→ ✓ 漢字")
