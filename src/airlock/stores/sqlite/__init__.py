"""`store: sqlite`: keeps executions in a file that outlives the process."""
