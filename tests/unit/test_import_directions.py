"""Which package may import which, and which may import Ray, torch and Optuna."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_files import (
    MODULES,
    ROOT,
    ImportedModule,
    imported_modules,
    importers,
    syntax_tree,
)

MAY_IMPORT = {
    "terminal": set(),
    "sweep_dir": set(),
    "space": set(),
    "spec": {"space"},
    "storage": {"terminal", "sweep_dir"},
    "search": {"space", "spec", "sweep_dir"},
    "results": {"terminal", "sweep_dir", "storage", "spec"},
    "cluster": {"terminal", "sweep_dir", "storage", "spec"},
    "trials": {"terminal", "sweep_dir", "storage", "spec", "cluster"},
    "preflight": {"terminal", "space", "spec"},
    "planning": {"terminal", "sweep_dir", "space", "spec", "search", "cluster"},
    "schedulers": {"sweep_dir", "space", "spec", "trials"},
    "report": {"terminal", "sweep_dir", "space", "storage", "results"},
    "execution": {
        "terminal",
        "sweep_dir",
        "space",
        "spec",
        "storage",
        "search",
        "results",
        "cluster",
        "trials",
        "planning",
        "preflight",
        "schedulers",
    },
}
"""Package of `sweeps` -> the packages of `sweeps` that it may import."""

MAY_IMPORT_ANY = {"api", "cli", "restore", "run"}

TRAINABLE_ORDER = [
    "errors",
    "uri",
    "atomic_files",
    "signals",
    "trial_settings",
    "config",
    "artifacts",
    "augment",
    "data",
    "models",
    "metrics",
    "optim",
    "features",
    "training",
    "storage",
    "inspection",
    "preflight",
    "experiment",
    "inference",
    "profiling",
    "ray_trial",
]
"""The parts of `trainable`; each imports only parts before it."""

RAY = {
    "sweeps.cluster",
    "sweeps.execution",
    "sweeps.schedulers",
    "sweeps.trials",
    "trainable.ray_trial",
}
OPTUNA = {"sweeps.report", "sweeps.search"}

PRIVATE_NAMES_OF_RAY = {
    "sweeps.cluster.local_ray",
    "sweeps.cluster.ray_host",
    "sweeps.cluster.ray_token",
    "sweeps.cluster.session",
    "sweeps.schedulers.hyperband",
    "sweeps.schedulers.pbt",
    "sweeps.trials.killed_workers",
    "sweeps.trials.trial",
    "trainable.ray_trial.tune_storage",
}
"""Modules for which Ray's public interface has no way; a new version of Ray is tried on them."""

LIGHT = {
    "sweeps.api",
    "sweeps.cli",
    "sweeps.results",
    "sweeps.space",
    "sweeps.spec",
    "sweeps.storage",
    "sweeps.sweep_dir",
    "sweeps.terminal",
    "trainable.config",
    "trainable.features.sharing",
    "trainable.preflight.background",
    "trainable.preflight.checks",
    "trainable.preflight.images",
    "trainable.storage.mirror",
    "trainable.storage.object_store",
    "trainable.storage.scratch",
}
"""Parts that load without torch, Ray and Optuna, so that commands start quickly."""


def part_of(module: str) -> str:
    """Returns the package, or the module that lies directly in `sweeps` or `trainable`."""
    return ".".join(module.split(".")[:2])


def own_imports(top: str) -> Iterator[tuple[str, ImportedModule]]:
    """Yields every import between two parts of one top-level package."""
    for module, path in MODULES.items():
        for imported in imported_modules(path):
            both = {module.partition(".")[0], imported.name.partition(".")[0]} == {top}
            if both and "." in module and part_of(module) != part_of(imported.name):
                yield module, imported


def test_every_package_has_a_rule() -> None:
    parts = {part_of(module) for module in MODULES if "." in module}
    sweeps = {part.partition(".")[2] for part in parts if part.startswith("sweeps.")}
    assert sweeps == MAY_IMPORT.keys() | MAY_IMPORT_ANY
    trainable = {part.partition(".")[2] for part in parts if part.startswith("trainable.")}
    assert trainable == {*TRAINABLE_ORDER, "__main__", "utils"}


def test_a_package_of_sweeps_imports_only_what_it_may() -> None:
    wrong = [
        f"{module}:{imported.line} imports {imported.name}"
        for module, imported in own_imports("sweeps")
        if (package := module.split(".")[1]) in MAY_IMPORT
        and imported.name.split(".")[1] not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_a_part_of_trainable_imports_only_parts_before_it() -> None:
    order = {f"trainable.{name}": number for number, name in enumerate(TRAINABLE_ORDER)}
    wrong = [
        f"{module}:{imported.line} imports {imported.name}"
        for module, imported in own_imports("trainable")
        if part_of(module) in order
        and order.get(part_of(imported.name), len(order)) > order[part_of(module)]
    ]
    assert wrong == []


def test_the_rules_have_no_cycle() -> None:
    done: set[str] = set()
    while ready := {name for name, may in MAY_IMPORT.items() if may <= done} - done:
        done |= ready
    assert done == MAY_IMPORT.keys()


def test_trainable_does_not_import_sweeps() -> None:
    assert {name for name in importers("sweeps") if name.startswith("trainable")} == set()


@pytest.mark.parametrize(("library", "allowed"), [("ray", RAY), ("optuna", OPTUNA)])
def test_a_library_is_imported_only_where_it_may_be(library: str, allowed: set[str]) -> None:
    outside = {name for name in importers(library) if part_of(name) not in allowed}
    assert outside == set()


def test_sweeps_does_not_import_torch() -> None:
    users = importers("torch") | importers("torchvision")
    assert {name for name in users if name.startswith("sweeps")} == set()


def test_light_modules_load_without_torch_ray_and_optuna() -> None:
    names = [name for name in MODULES if part_of(name) in LIGHT or name in LIGHT]
    assert {part_of(name) for name in names} >= {name for name in LIGHT if name.count(".") == 1}
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'torchvision', 'ray', 'optuna'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} loads {heavy}'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_import_across_packages_is_for_types_only() -> None:
    for_types = {
        (module, imported.name)
        for top in ("sweeps", "trainable")
        for module, imported in own_imports(top)
        if imported.for_types_only
    }
    assert for_types == set()


def test_a_package_does_not_import_its_own_modules() -> None:
    eager = {
        module
        for module, path in MODULES.items()
        if path.name == "__init__.py" and module.count(".") == 1
        for imported in imported_modules(path)
        if imported.name.startswith(f"{module}.")
    }
    assert eager - {"trainable.config", "trainable.models"} == set()


def uses_private_names(path: Path) -> bool:
    """Whether a file imports a private name, or reads a private attribute that it does not set."""
    tree = syntax_tree(path)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} | {"_exit"}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    own |= {
        node.attr
        for node in attributes
        if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ray"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            names = [node.attr]
        for part in ".".join(names).split("."):
            if part.startswith("_") and not part.startswith("__"):
                return True
    return False


def test_private_names_of_ray_are_used_only_where_they_must_be() -> None:
    near_ray = [name for name in MODULES if part_of(name) in RAY]
    users = {name for name in near_ray if uses_private_names(MODULES[name])}
    assert users == PRIVATE_NAMES_OF_RAY
