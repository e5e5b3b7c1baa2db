"""What runs inside a sandbox, the same for every backend that runs CPython. Standard library only.

`codec` has the frames, `sdk` the globals of a script, `script` runs one, `reached` names the limits that it ran into.
`warm` prepares an interpreter, `layers` confine it, `one_script` is its life from there; `syscalls` are the Linux calls
that Python has no name for.

A backend brings this folder into its sandbox as a package of any name; nothing in here may import from the rest of
Airlock, and nothing needs Python newer than 3.9.
`threading` is never imported: its after-fork hook would slow every fork of a warm worker; locks come from `_thread`.
"""
