"""`python -m airlock` is `airlock serve`."""

import sys

from .cli import app

if __name__ == "__main__":
    app(["serve", *sys.argv[1:]], prog_name="airlock")
