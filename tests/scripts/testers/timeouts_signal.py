import signal
import time


class TooSlow(Exception):
    pass


def alarm(number, frame):
    raise TooSlow(signal.Signals(number).name)


signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    time.sleep(5)
except TooSlow as error:
    print("interrupted by", error)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
