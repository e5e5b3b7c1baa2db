"""A plugin that needs what is not installed."""

import package_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401
