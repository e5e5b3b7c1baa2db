import os

read, write = os.pipe()
child = os.fork()
if child == 0:
    os.close(read)
    os.write(write, b"from the child")
    raise SystemExit(5)
os.close(write)
print(os.read(read, 100).decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
