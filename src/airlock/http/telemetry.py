"""OpenTelemetry: spans of requests, which FastAPI makes and sends to $OTEL_EXPORTER_OTLP_ENDPOINT, if that is set.

Metrics are the job of airlock-metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

TELEMETRY: Final[TelemetryConfig] = {
    "auto_configure": True,
    "operation_spans": False,
    "metrics": False,
    "logs": False,
    "exclude": lambda scope: scope["path"] in ("/health", "/ready"),  # load balancers ask for them all the time
}
