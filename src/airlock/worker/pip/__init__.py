"""The `pip` that scripts find, see `airlock.worker.prefix`: a package that is copied into their environment."""
