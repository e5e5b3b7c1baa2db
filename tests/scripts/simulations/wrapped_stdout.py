import io
import sys

sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
print("wrapped: ü")
sys.stdout.reconfigure(errors="replace")
print("reconfigured")
print("named", sys.stdout.name, sys.stdout.seekable())
