"""What runs inside a box. Standard library only; the server sends these sources to the box (see `bootstrap`).

`zygote` is the warm process that forks, `box_root` builds its root, `standby` is one execution's pair of processes,
`layers` what is put around a script, `syscalls` the Linux calls that Python has no name for.
`threading` is never imported here: its after-fork hook would slow every fork; locks come from `_thread`.
"""
