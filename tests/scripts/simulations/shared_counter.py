import multiprocessing as mp


def add(counter, times):
    for _ in range(times):
        with counter.get_lock():
            counter.value += 1


if __name__ == "__main__":
    context = mp.get_context("fork")
    counter = context.Value("i", 0)
    workers = [context.Process(target=add, args=(counter, 200)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(counter.value, [worker.exitcode for worker in workers])
