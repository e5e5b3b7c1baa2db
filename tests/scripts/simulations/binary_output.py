import struct
import sys

sys.stdout.write("text first\n")
sys.stdout.flush()
sys.stdout.buffer.write(struct.pack("<4sI", b"head", 7).replace(b"\0", b"."))
sys.stdout.buffer.write(b"\n")
sys.stdout.buffer.flush()
print("text last")
