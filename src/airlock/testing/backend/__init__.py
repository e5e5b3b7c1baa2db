"""The contract of backends, in parts; a backend's declarations decide which tests apply to it."""
