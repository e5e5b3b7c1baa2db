"""`store: sqlite`: executions in a file that outlives the process."""
