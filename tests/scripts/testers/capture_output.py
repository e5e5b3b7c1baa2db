import contextlib
import io
import sys

out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    print("hidden")
    print("also hidden", file=sys.stderr)
print(repr(out.getvalue()), repr(err.getvalue()), sys.stdout.isatty(), sys.stdout.name)
