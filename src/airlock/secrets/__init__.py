"""Redaction of everything that leaves a sandbox: the forms of a secret, and their removal from texts and streams.

Config makes redactors, runs use them. It must not know where secrets come from.
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
