"""What runs inside a box. Standard library only; the server sends these sources to the box (see `bootstrap`).

`zygote` is the warm process, `keeper` its loop that forks standbys, `maker` the small process that makes what these
need, `box_root` builds the root, `standby` is a script's process, `layers` what is put around it.
`threading` is never imported here: its after-fork hook would slow every fork; locks come from `_thread`.
"""
