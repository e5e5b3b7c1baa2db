import _thread
import threading

threading.Timer(0.05, _thread.interrupt_main).start()
try:
    while True:
        pass
except KeyboardInterrupt:
    print("stopped with Ctrl-C")
raise KeyboardInterrupt
