"""The contract for backends that run scripts with CPython: a script finds here what it finds on a laptop."""
