"""Airlock backend that runs Python in a Linux sandbox on this machine."""
