import os
import pty

parent, child = pty.openpty()
os.write(child, b"typed\n")
print(os.read(parent, 100), os.isatty(child))
