"""OpenTelemetry: spans of requests go where the environment says, to a real OTLP receiver, and nowhere without it."""

from __future__ import annotations

import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.conftest import SCRIPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

MOCK = "projects: {p: {backend: mock}}\n"


class Collector(HTTPServer):
    """Stands in for a monitoring service."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.spans: list[str] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.server.spans += [span.name for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def use(server: RunningServer) -> None:
    created = httpx.post(f"{server.url}/execute", json={"project": "p", "code": "secret-code"}).json()
    httpx.get(f"{server.url}/executions/{created['execution_id']}")
    httpx.get(f"{server.url}/health")
    httpx.get(f"{server.url}/ready")


def stop(server: RunningServer) -> float:
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    return time.monotonic() - began


def test_requests_are_spans_named_by_their_route_and_hold_no_bodies(serve: Serve, collector: Collector) -> None:
    server = serve(MOCK, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    use(server)
    stop(server)  # what is left is sent then
    assert sorted(collector.spans) == ["GET /executions/{execution_id}", "POST /execute"]
    assert not any(b"secret-code" in body for body in collector.bodies)


def test_without_an_endpoint_nothing_is_sent(serve: Serve, collector: Collector) -> None:
    server = serve(MOCK)
    use(server)
    stop(server)
    assert collector.bodies == []


def test_a_collector_that_is_gone_delays_no_request_and_hardly_the_end(serve: Serve, collector: Collector) -> None:
    url = collector.url
    collector.server_close()
    server = serve(MOCK, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_TIMEOUT="2")
    assert server.url  # it is up
    began = time.monotonic()
    use(server)
    assert time.monotonic() - began < 5
    assert stop(server) < 10


def test_without_the_packages_a_server_says_so_and_serves(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    path = f"{tmp_path}:{SCRIPTED}"
    server = serve(MOCK, is_new=True, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", PYTHONPATH=path)
    use(server)
    server.line_with("FastAPI automatic telemetry configuration failed")
