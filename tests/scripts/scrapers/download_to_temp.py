import hashlib
import os
import shutil
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "download.bin")
    with open(path, "wb") as file:
        for block in range(100):
            file.write(bytes([block]) * 1000)
    with open(path, "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else "old")
    print(os.path.getsize(path), shutil.disk_usage(folder).free > 0)
print(os.path.exists(path), tempfile.gettempdir())
