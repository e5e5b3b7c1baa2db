"""Scripts that leave something in a slot, scripts that leave nothing, and one that looks for everything it can."""

from __future__ import annotations

from typing import Final

SYSV: Final = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"

# After each of these, nobody else may have the slot.
LEAVES_SOMETHING: Final = {
    "a file in /tmp": "open('/tmp/x', 'w')",
    "a file in the working folder": "open('x', 'w')",
    "a file in /dev/shm": "open('/dev/shm/x', 'w')",
    "a file that it removed": "open('/tmp/x', 'w').close(); os.unlink('/tmp/x')",
    "a folder that it removed": "os.mkdir('/dev/shm/x'); os.rmdir('/dev/shm/x')",
    "a file without a name": "os.close(os.open('/tmp', os.O_TMPFILE | os.O_RDWR, 0o600))",
    "a file without a name in /dev/shm": "os.close(os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR, 0o600))",
    "a symbolic link": "os.symlink('/usr', 'usr')",
    "the mode of /tmp": "os.chmod('/tmp', 0o700)",
    "the mode of the working folder": "os.chmod('/workspace', 0o700)",
    "a mode that it restored": "os.chmod('/dev/shm', 0o700)\nos.chmod('/dev/shm', 0o1777)",
    "the times of a folder": "os.utime('/dev/shm', (1, 1))",
    "the time of an access": "os.utime('/workspace/main.py', (1, os.stat('/workspace/main.py').st_mtime))",
    "the mode of its own file": "os.chmod('/workspace/main.py', 0o600)",
    "another name of its own file": "os.link('/workspace/main.py', '/workspace/other')",
    "another file in the place of its own": "os.rename('/workspace/main.py', 'x'); open('/workspace/main.py', 'w')",
    "a process": "if os.fork() == 0: os.setsid(); os.close(1); os.close(2); import time; time.sleep(60)",
    "a process that has ended": "if os.fork() == 0: os._exit(0)\nos.wait()",
    "a thread that has ended": "import threading\nthread = threading.Thread()\nthread.start()\nthread.join()",
    "an internet socket": "import socket\nsocket.socket().close()",
    "a System V segment": SYSV + "assert libc.shmget(0, 4096, 0o1600) >= 0",
    "a System V segment that it removed": SYSV + "assert libc.shmctl(libc.shmget(0, 4096, 0o1600), 0, None) == 0",
    "System V semaphores that it removed": SYSV + "assert libc.semctl(libc.semget(0, 1, 0o1600), 0, 0, 0) == 0",
    "a System V queue that it removed": SYSV + "assert libc.msgctl(libc.msgget(0, 0o1600), 0, None) == 0",
    "its own death": "os.kill(os.getpid(), 9)",
}

# The kernel finds and frees them in its own time, when nobody holds them any more: then the slot can be used again.
IN_FLIGHT: Final = """
import array, socket
for _ in range(100):
    one, two = socket.socketpair()
    three, four = socket.socketpair()
    for sock, other in (one, three), (three, one):
        rights = array.array("i", [other.fileno(), two.fileno(), four.fileno()])
        sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
"""

# Each of these is gone with the script's process.
LEAVES_NOTHING: Final = {
    "nothing": "",
    "results": "set_result([1]); memory.set('a', 'b', 1); print('x' * 100_000)",
    "a failure": "raise ValueError('x')",
    "an exit code": "import sys\nsys.exit(3)",
    "priorities": "os.nice(5); os.sched_setaffinity(0, {0})",
    "limits": "import resource\nfor name in 0, 4, 7: resource.setrlimit(name, (1, 1))",
    "signals": """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.kill(0, signal.SIGUSR1); os.kill(os.getpid(), signal.SIGUSR2)
try: os.kill(-1, signal.SIGUSR1)
except ProcessLookupError: pass
""",
    "its state": "os.umask(0o777); os.chdir('/'); os.environ['X'] = 'x'",
    "changed modules": "import builtins, json, sys\nbuiltins.print = json.dumps = None\nsys.modules.clear()",
    "memory": "kept = bytearray(8 << 20)",
    "shared memory without a name": "import mmap\nmmap.mmap(-1, 1 << 20)[:] = b'x' * (1 << 20)\nos.memfd_create('x')",
    "sockets": "import socket\nkept = socket.socketpair(), socket.socket(socket.AF_UNIX)\nkept[1].bind('\\0name')",
    "timers": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 100)",
    "a pseudo-terminal": "one, two = os.openpty(); os.write(one, b'x'); os.write(two, b'x')",
    "locks": "import fcntl\nfcntl.flock(os.open('/workspace/main.py', os.O_RDONLY), fcntl.LOCK_EX)",
    "flags of its own file": """
import fcntl
for request, flags in (0x40086602, bytes([64, 0, 0, 0])), (0x401C5820, bytes([128]) + bytes(27)):  # nodump
    try: fcntl.ioctl(os.open("/workspace/main.py", os.O_RDONLY), request, flags)
    except OSError: pass
""",
    "a map of ids": "try: open('/proc/self/projid_map', 'w').write('0 0 1')\nexcept OSError: pass",
    "another text of itself": "open('/workspace/main.py', 'w').write('x' * 100_000)",
    "a look into /proc": "for name in os.listdir('/proc'): os.lstat(f'/proc/{name}')",
    "a look at its folders": "for top in '/tmp', '/workspace', '/dev': print([*os.walk(top)])",
}

# Everything that can be read, and one of each thing that can be made. What differs in every process stands for itself:
# numbers count from the first one, times are before or after the script began.
PROBE: Final = """
import ctypes, fcntl, json, os, re, resource, signal, socket, stat, time
began = os.stat("/workspace/main.py").st_mtime_ns  # written when the job came
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def about(path):
    got = os.lstat(path)
    times = [moment >= began - 10**9 for moment in (got.st_atime_ns, got.st_mtime_ns, got.st_ctime_ns)]
    link = os.readlink(path) if stat.S_ISLNK(got.st_mode) and not path.startswith("/proc/self/") else None
    return [oct(got.st_mode), got.st_nlink, got.st_uid, got.st_gid, got.st_size, got.st_blocks, link, times]

for top in "/tmp", "/workspace", "/dev":
    for folder, folders, files in os.walk(top):
        for path in [folder, *(os.path.join(folder, name) for name in files)]:
            kind = about(path)
            found[path] = kind if path.startswith(("/tmp", "/workspace")) else kind[:-1]
for name in sorted(os.listdir("/proc")):
    got = os.lstat("/proc/" + name)
    if not name.isdigit() and name not in ("self", "thread-self") and got.st_dev == os.stat("/proc").st_dev:
        found["time of /proc/" + name] = got.st_ctime_ns >= began - 10**9
found["time of /proc/1/stat"] = os.stat("/proc/1/stat").st_ctime_ns >= began - 10**9
found["time of a sysctl"] = os.stat("/proc/sys/vm/swappiness").st_ctime_ns >= began - 10**9
found["processes"] = sum(name.isdigit() for name in os.listdir("/proc"))
for name in ("limits", "cgroup", "uid_map", "gid_map", "projid_map", "setgroups", "oom_score_adj", "coredump_filter",
             "net/unix", "net/dev", "net/snmp", "net/tcp", "net/sockstat", "loginuid", "sessionid", "timerslack_ns"):
    try:
        text = open("/proc/self/" + name).read()
    except OSError as error:
        text = error.errno
    if name == "net/unix":
        text = len(text.splitlines())
    if name in ("uid_map", "gid_map"):  # each slot has another user of the host
        text = text.split()[::2]
    if name == "net/sockstat":
        text = text.splitlines()[0]
    found[name] = text
found["fds"] = sorted(os.listdir("/proc/self/fd"))
flags = bytearray(8)
for path in "/workspace/main.py", "/tmp", "/workspace":
    fcntl.ioctl(os.open(path, os.O_RDONLY), 0x80086601, flags)
    found["flags of " + path] = flags.hex()
found["mounts"] = len(open("/proc/self/mountinfo").readlines())
found["status"] = [line for line in open("/proc/self/status")
                   if re.match("(Umask|Uid|Gid|Groups|Threads|Sig|Shd|Cap|NoNewPrivs|Seccomp|Cpus_allowed_list)", line)]
for name in "shm", "sem", "msg":
    found["sysvipc " + name] = open("/proc/sysvipc/" + name).read()
found["space"] = [os.statvfs(path)[2:7] for path in ("/tmp", "/dev/shm")]
found["affinity"] = sorted(os.sched_getaffinity(0)), os.nice(0), os.getpriority(os.PRIO_USER, 0)
found["stdin"] = os.stat("/dev/stdin").st_rdev, os.lseek(0, 0, 1)
found["environment"] = sorted(os.environ.items())
found["shm id"] = libc.shmget(0, 4096, 0o1600)
found["sem id"] = libc.semget(0, 1, 0o1600)
found["msg id"] = libc.msgget(0, 0o1600)
found["pty"] = os.ttyname(os.openpty()[1])
numbers = []
for number in range(3):
    with open(f"/tmp/{number}", "w") as file:
        numbers.append(os.fstat(file.fileno()).st_ino)
found["inodes"] = [number - numbers[0] for number in numbers]
pids = [os.getpid()]
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    pids.append(pid)
found["pids"] = [pid - pids[0] for pid in pids]
timer = ctypes.c_void_p()
found["timer"] = libc.timer_create(1, None, ctypes.byref(timer))
unix = socket.socket(socket.AF_UNIX); unix.bind("")
found["autobind"] = len(unix.getsockname())
server = socket.create_server(("127.0.0.1", 8080)); found["port"] = server.getsockname()[1]
set_result(found)
"""
