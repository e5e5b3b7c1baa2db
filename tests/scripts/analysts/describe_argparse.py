"""A command line tool that is called without its argument."""
import argparse

parser = argparse.ArgumentParser(description="Describe a CSV file.")
parser.add_argument("file", help="the file")
parser.add_argument("--column", default="price")
args = parser.parse_args()
print(args.file)
