import sys

try:
    sys.exit(2)
except SystemExit as leaving:
    print("caught", leaving.code)
sys.exit(3)
