"""Loads the scripts of `docs/`, which are no package."""

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


def load_script(name: str) -> ModuleType:
    """Returns a script of `docs/` as a module, such as `generate_tables`."""
    module_spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module
