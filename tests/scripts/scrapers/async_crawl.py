import asyncio


async def handle(reader, writer):
    path = (await reader.readline()).split()[1].decode()
    await asyncio.sleep(0.01)
    body = f"page {path}"
    writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


async def fetch(port, path, limit):
    async with limit:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        return text.rpartition("\n")[2]


async def main():
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        limit = asyncio.Semaphore(3)
        print(*await asyncio.gather(*(fetch(port, f"/{n}", limit) for n in range(8))), sep="\n")


asyncio.run(main())
