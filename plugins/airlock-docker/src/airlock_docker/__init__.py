"""Airlock backend that runs Python in single-use Docker containers that stand ready."""
