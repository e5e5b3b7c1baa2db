import importlib
import sys
from pathlib import Path

Path("package").mkdir()
Path("package/__init__.py").write_text("VERSION = '1'\n")
Path("package/inner.py").write_text("from . import VERSION\ndef f():\n    return VERSION * 2\n")
from package.inner import f

print(f())
Path("package/inner.py").write_text("def f():\n    return 'reloaded, and longer than before'\n")
importlib.invalidate_caches()
print(importlib.reload(sys.modules["package.inner"]).f())
