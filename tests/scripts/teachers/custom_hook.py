import sys


def hook(kind, error, trace):
    print(f"Oops! {kind.__name__}: {error} (line {trace.tb_lineno})")


sys.excepthook = hook
int("forty-two")
