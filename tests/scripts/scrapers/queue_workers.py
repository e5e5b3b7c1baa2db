import queue
import threading

todo, done = queue.Queue(), queue.Queue()


def work():
    while (item := todo.get()) is not None:
        done.put((item, item**2))
        todo.task_done()


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(20):
    todo.put(number)
todo.join()
for _ in threads:
    todo.put(None)
for thread in threads:
    thread.join()
print(sorted(done.queue)[-3:], threading.active_count())
