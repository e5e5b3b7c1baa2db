import gzip
import io
import zipfile
from pathlib import Path

with gzip.open("numbers.csv.gz", "wt") as file:
    file.writelines(f"{n},{n * n}\n" for n in range(1000))
with zipfile.ZipFile("bundle.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
    bundle.write("numbers.csv.gz")
    bundle.writestr("notes.txt", "hello")
with zipfile.ZipFile("bundle.zip") as bundle:
    print(bundle.namelist(), bundle.testzip())
    text = gzip.decompress(bundle.read("numbers.csv.gz")).decode()
print(sum(int(line.split(",")[1]) for line in io.StringIO(text)))
print(Path("bundle.zip").stat().st_size > 0)
