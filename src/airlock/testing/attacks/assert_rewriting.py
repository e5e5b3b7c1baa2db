"""Has pytest explain failed assertions of the attacks; imported before the modules that have them."""

import pkgutil
from pathlib import Path

import pytest

_MODULES = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}

pytest.register_assert_rewrite(*(f"{__package__}.{name}" for name in _MODULES - {Path(__file__).stem}))
