"""Scrapes a site that it serves itself."""
import http.server
import re
import threading
import urllib.request

PAGES = {"/": "<a href='/a'>a</a><a href='/b'>b</a>", "/a": "<h1>Apple</h1>", "/b": "<h1>Banana</h1>"}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = PAGES.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((body or "none").encode())

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
front = urllib.request.urlopen(base + "/").read().decode()
for link in re.findall("href='(.*?)'", front):
    print(link, re.search("<h1>(.*)</h1>", urllib.request.urlopen(base + link).read().decode())[1])
try:
    urllib.request.urlopen(base + "/none")
except urllib.error.HTTPError as error:
    print(error.code, error.read())
server.shutdown()
