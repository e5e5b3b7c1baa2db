import threading
import time


def slowly(name):
    time.sleep(0.1)
    print("finished", name)


for name in ("a",):
    threading.Thread(target=slowly, args=(name,)).start()
print("main is done")
