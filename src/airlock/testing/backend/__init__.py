"""The contract of backends, in parts: what a backend declares decides which of them apply to it."""
