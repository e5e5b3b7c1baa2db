"""Lists what an interpreter offers beside the language."""

import builtins

for name in ("copyright", "credits", "exit", "help", "license", "quit"):
    print(name, type(getattr(builtins, name)).__name__)
print(str(copyright).splitlines()[0])
print(exit)
try:
    exit("enough")
except SystemExit as left:
    print("left with", left)
quit(4)
