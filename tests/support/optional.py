"""Tests that need packages which are not installed everywhere."""

from importlib.util import find_spec

import pytest


def skip_module_without(package: str) -> None:
    """Skips a test file; does not import the package, which can take seconds in every worker."""
    if find_spec(package) is None:
        pytest.skip(f"needs {package}", allow_module_level=True)
