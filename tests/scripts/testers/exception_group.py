import sys
import traceback

try:
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("outer") from error
except RuntimeError as error:
    lines = traceback.format_exception(error)
    print(len(lines), "direct cause" in "".join(lines), error.__cause__)
if sys.version_info >= (3, 11):
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
