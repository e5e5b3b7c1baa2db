"""Tests a command line tool in a child interpreter."""
import subprocess
import sys
from pathlib import Path

Path("tool.py").write_text("import sys\nprint(sorted(sys.argv[1:]))\nsys.exit(len(sys.argv) - 1)\n")
ran = subprocess.run([sys.executable, "tool.py", "b", "a"], capture_output=True, text=True)
print(ran.returncode, ran.stdout.strip(), repr(ran.stderr))
ran = subprocess.run([sys.executable, "-c", "1/0"], capture_output=True, text=True)
print(ran.returncode, ran.stderr.strip().splitlines()[-1])
print(subprocess.check_output([sys.executable, "-m", "json.tool", "--compact"], input=b'{"a": [1, 2]}').decode().strip())
