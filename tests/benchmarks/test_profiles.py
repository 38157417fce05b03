"""The benchmarks' table names functions that exist, and loads no Ray for those that need none."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.profiles import PROFILES

ROOT = Path(__file__).parents[2]
WITHOUT_RAY = ("E1", "E2", "E3", "E4", "P1", "P2", "P4", "C2", "C3")


@pytest.mark.parametrize(
    ("profile", "name"), [(profile, name) for profile in PROFILES for name in PROFILES[profile]]
)
def test_every_benchmark_is_a_function_that_takes_its_arguments(profile: str, name: str) -> None:
    benchmark = PROFILES[profile][name]
    module = importlib.import_module(f"tests.benchmarks.{benchmark.module}")
    inspect.signature(getattr(module, benchmark.function)).bind(**benchmark.arguments)


@pytest.mark.slow
def test_what_trains_without_a_sweep_imports_no_ray() -> None:
    modules = {PROFILES["gpu"][name].module for name in WITHOUT_RAY}
    imports = [f"import tests.benchmarks.{module}" for module in sorted(modules)]
    code = "; ".join(
        ["import sys, tests.benchmarks.__main__", *imports, "assert 'ray' not in sys.modules"]
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
