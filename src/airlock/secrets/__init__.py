"""Taking secrets out of everything that leaves a sandbox: the forms of a secret, and redaction of texts and streams.

The gateway gives each run a redactor; the command line has one for the log. It must not know where secrets come from.
"""

from .forms import MIN_BYTES, forms_of
from .redaction import MARK, RedactingStream, Redactor

__all__ = [
    "MARK",
    "MIN_BYTES",
    "RedactingStream",
    "Redactor",
    "forms_of",
]
