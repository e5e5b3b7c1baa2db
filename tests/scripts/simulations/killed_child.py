import os
import signal
import subprocess
import sys

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
child.send_signal(signal.SIGTERM)
print(child.wait())
os.kill(os.getpid(), signal.SIGTERM)
