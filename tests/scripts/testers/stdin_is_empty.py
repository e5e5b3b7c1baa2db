import sys

print(repr(sys.stdin.read()), sys.stdin.isatty())
name = input("name? ")
