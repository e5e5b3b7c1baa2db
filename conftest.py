"""The tests of core, of the plugins and of the examples run by the same rules."""

pytest_plugins = ["tests.rules", "pytester"]
