import http.server
import json
import threading

import httpx


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        got = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"doubled": [2 * n for n in got["numbers"]], "agent": self.headers["X-Agent"]}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", headers={"X-Agent": "me"}) as client:
    answer = client.post("/", json={"numbers": [1, 2, 3]})
print(answer.status_code, answer.json())
