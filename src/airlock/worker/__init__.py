"""What runs inside a sandbox, the same for every backend that runs CPython. Standard library only.

`codec` has the frames, `sdk` and `llm` what a script finds, `names` where it finds it, `values` makes JSON of
what it reports, `known_types` lists the types for that. `script` runs one, `reached` names the limits that it reached.
`warm` prepares an interpreter, `sizes` has it take the limits for the size of the machine, `reseed` gives each fork of
it random numbers of its own, `layers` confine it, `one_script` does the rest; `syscalls` has the Linux calls that
Python does not provide.

A backend brings this folder into its sandbox as a package of any name; nothing here may import from the rest of
Airlock or need a Python newer than 3.9.
`threading` is never imported: its after-fork hook would slow every fork of a warm worker; locks come from `_thread`.
"""
