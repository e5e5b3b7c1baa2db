import asyncio


async def racer(name, delay, finish):
    await asyncio.sleep(delay)
    finish.append(name)
    return name


async def main():
    finish = []
    tasks = [asyncio.create_task(racer(n, d, finish)) for n, d in (("hare", 60), ("tortoise", 0.05))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    print(finish, await asyncio.gather(*pending, return_exceptions=True) and "cancelled")
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)
    except TimeoutError:
        print("timeout")


asyncio.run(main())
