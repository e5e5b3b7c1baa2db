import threading


def broken():
    return [1, 2, 3][5]


thread = threading.Thread(target=broken, name="worker")
thread.start()
thread.join()
print("the main thread goes on")
