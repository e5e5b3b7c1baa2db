import sys
import time

for step in range(5):
    sys.stderr.write(f"\r{step + 1}/5")
    sys.stderr.flush()
    time.sleep(0.01)
sys.stderr.write("\n")
sys.stdout.write("no newline at the end")
