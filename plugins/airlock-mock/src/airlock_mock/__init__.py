"""Airlock plugin with a backend that echoes code."""
