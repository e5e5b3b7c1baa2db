"""A plugin as an author would publish it."""
