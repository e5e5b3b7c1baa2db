import configparser
import json
import os
import shelve
import sys

with shelve.open("state") as state:
    state["run"] = {"t": 1.5}
with shelve.open("state") as state:
    print(state["run"])
config = configparser.ConfigParser()
config.read_string("[sim]\nsteps = 10\ndt = 0.1\n")
print(config.getint("sim", "steps") * config.getfloat("sim", "dt"), json.dumps({"pi": 3.14}))
os._exit(6)
