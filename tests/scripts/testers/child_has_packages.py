import subprocess
import sys

for flags in ([], ["-I"]):
    print(subprocess.run([sys.executable, *flags, "-c", "import numpy; print(numpy.arange(3).sum())"], capture_output=True, text=True).stdout.strip())
print(subprocess.run(["python3", "-c", "import pandas, sys; print(pandas.Series([1, 2]).sum(), sys.version_info[0])"], capture_output=True, text=True).stdout.strip())
