"""Airlock plugin that serves `GET /metrics`."""
