"""Which package may import which, and which may import Ray, torch and Optuna."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_files import (
    MODULES,
    ImportedModule,
    imported_modules,
    importers,
    nodes,
    part_of,
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
    "planning": {"terminal", "sweep_dir", "space", "spec", "search", "cluster", "preflight"},
    "notebook": {"terminal", "sweep_dir", "storage", "spec", "results"},
    "schedulers": {"sweep_dir", "space", "spec", "trials"},
    "report": {"terminal", "sweep_dir", "space", "storage", "results"},
    "steering": {"terminal", "sweep_dir", "space", "spec", "search", "storage", "results"},
    "trackers": {"terminal", "sweep_dir", "spec", "storage", "results", "report"},
    "ui": {"terminal", "sweep_dir", "space", "spec", "storage", "results", "report", "steering"},
    "init": {"terminal", "space", "spec", "preflight", "cluster", "planning", "search"},
    "doctor": {"terminal", "sweep_dir", "storage", "cluster"},
    "execution": {
        "notebook",
        "report",
        "steering",
        "trackers",
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

MAY_IMPORT_ANY = {"api", "cli", "errors", "restore", "run"}

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
    "sweeps.schedulers.by_hand",
    "sweeps.schedulers.hyperband",
    "sweeps.schedulers.pbt",
    "sweeps.trials.killed_workers",
    "sweeps.trials.trial",
    "trainable.ray_trial.tune_storage",
}
"""Modules for which Ray's public interface has no way; a new version of Ray is tried on them."""


def own_imports(top: str) -> Iterator[tuple[str, ImportedModule]]:
    """Yields every import between two parts of one top-level package."""
    for module, path in MODULES.items():
        for imported in imported_modules(path):
            both = {module.partition(".")[0], imported.name.partition(".")[0]} == {top}
            inside = "." in module and "." in imported.name  # the top has the version only
            if both and inside and part_of(module) != part_of(imported.name):
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
    users = importers("torch", for_types=False) | importers("torchvision")
    assert {name for name in users if name.startswith("sweeps")} == set()


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
    tree = nodes(path)
    own = {node.name for node in tree if isinstance(node, ast.FunctionDef)} | {"_exit"}
    attributes = [node for node in tree if isinstance(node, ast.Attribute)]
    own |= {
        node.attr
        for node in attributes
        if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
    }
    for node in tree:
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
