"""A plugin that tries to end the whole program when it is imported."""

import sys

sys.exit("unsupported machine")
