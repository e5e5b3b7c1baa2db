import socket
import threading


def serve(server):
    peer, _ = server.accept()
    with peer, peer.makefile("rw") as stream:
        for line in stream:
            stream.write(line[::-1].strip() + "\n")
            stream.flush()


with socket.create_server(("127.0.0.1", 0)) as server:
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    with socket.create_connection(server.getsockname()) as client, client.makefile("rw") as stream:
        for word in ("hello", "world"):
            print(word, file=stream, flush=True)
            print(stream.readline().strip())
