"""A plugin that takes the whole program down when it is imported, or so it thinks."""

import sys

sys.exit("unsupported machine")
