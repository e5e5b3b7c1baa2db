"""What runs inside a container. Standard library only, Python 3.9 and later.

`main` is what the container starts, `supervisor` its first process, `script_process` the one that becomes the script.
"""
