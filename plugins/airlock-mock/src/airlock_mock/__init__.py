"""Airlock backend that echoes."""
