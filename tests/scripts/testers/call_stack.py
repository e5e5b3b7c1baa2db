"""Shows who called: with traceback, and where logging met a message that does not fit."""

import contextlib
import io
import logging
import traceback


def callers():
    return [frame.name for frame in traceback.extract_stack()]


def report(total):
    logging.warning("%d rows", total)


print(callers())
with contextlib.redirect_stderr(io.StringIO()) as said:
    logging.basicConfig()
    report("no")
stack = said.getvalue().partition("Call stack:")[2]
print(stack.count(", in <module>"), stack.count(", in report"), "Message: '%d rows'" in stack)
