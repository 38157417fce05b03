"""Sizes and names of files, functions and packages, and where their tests are."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from sweeps import errors
from tests.support.source_files import (
    ALIASES,
    MODULES,
    ROOT,
    functions,
    importers,
    nodes,
    sources,
    syntax_tree,
)

MAX_FILE_LINES = {"sweeps": 400, "trainable": 400, "tests": 500}
MAX_PACKAGE_FILES = 14
MAX_FUNCTION_LINES = 50
"""From a function's first statement after its docstring to its last."""
SELF = ("self", "cls")
MAX_PARAMETERS = 7
"""`self` and `cls` do not count."""
MAX_UNTESTED_LINES = 60
"""Longer modules have a test file at the mirrored place below `tests/unit/`."""

TESTED_ELSEWHERE = {
    "sweeps": "unit/sweeps/test_api.py",
    "sweeps.execution.verbs": "unit/sweeps/api/test_sweep.py",
    "sweeps.execution.observers.callbacks": "unit/sweeps/api/test_sweep.py",
    "sweeps.api.trial": "unit/sweeps/test_api.py",
    "sweeps.api.steering": "unit/sweeps/api/test_sweep.py",
    "sweeps.api.space": "unit/sweeps/api/test_search.py",
    "sweeps.api.search_plan": "unit/sweeps/api/test_search.py",
    "sweeps.api.models": "unit/sweeps/test_api.py",
    "sweeps.api.files": "unit/sweeps/test_api.py",
    "sweeps.cli.checkpoint": "integration/test_from_checkpoint.py",
    "sweeps.cli.export": "unit/sweeps/cli/test_status.py",
    "sweeps.cli.jobs": "unit/sweeps/cluster/test_jobs.py",
    "sweeps.cli.options": "unit/sweeps/cli/test_main.py",
    "sweeps.cli.plan": "unit/sweeps/planning/test_plan.py",
    "sweeps.cli.run": "unit/sweeps/cli/test_or_resume.py",
    "sweeps.cli.shell.candidates": "unit/sweeps/cli/shell/test_command_tree.py",
    "sweeps.cli.shell.parameter_types": "unit/sweeps/cli/shell/test_command_tree.py",
    "sweeps.cluster.ray_process": "integration/test_own_ray.py",
    "sweeps.execution.launch": "integration/test_sweep.py",
    "sweeps.execution.recorder": "integration/test_sweep.py",
    "sweeps.execution.restore_trials": "integration/test_pause_resume.py",
    "sweeps.execution.steering.additions": "integration/test_steering_kills.py",
    "sweeps.steering.start_weights": "unit/sweeps/steering/test_additions.py",
    "sweeps.execution.steering.callback": "integration/test_steering.py",
    "sweeps.execution.steering.effects": "integration/test_steering.py",
    "sweeps.execution.storage_callback": "integration/test_object_storage.py",
    "sweeps.execution.trial_source": "integration/test_pause_resume.py",
    "sweeps.execution.tune_run": "integration/test_pause_resume.py",
    "sweeps.planning.cost": "unit/sweeps/planning/test_plan.py",
    "sweeps.report.class_data": "unit/sweeps/report/test_class_tables.py",
    "sweeps.report.failure_groups": "unit/sweeps/ui/pages/test_failures.py",
    "sweeps.report.optuna_journal": "unit/sweeps/trackers/test_reporter.py",
    "sweeps.report.sections": "unit/sweeps/report/test_page.py",
    "sweeps.report.trial_sections": "unit/sweeps/report/test_page.py",
    "sweeps.results.export": "unit/sweeps/cli/test_status.py",
    "sweeps.results.loaded_sweep": "unit/sweeps/test_api.py",
    "sweeps.schedulers.recording": "unit/sweeps/schedulers/test_replay.py",
    "sweeps.schedulers.by_hand": "integration/test_steering.py",
    "sweeps.search.sampler_classes": "unit/sweeps/search/test_sampler_check.py",
    "sweeps.trackers.mlflow_runs": "integration/test_trackers.py",
    "sweeps.trackers.reporting": "unit/sweeps/trackers/test_reporter.py",
    "sweeps.trackers.switch": "integration/test_trackers.py",
    "sweeps.trackers.trackio_runs": "integration/test_trackers.py",
    "sweeps.trackers.wandb_runs": "integration/test_trackers.py",
    "sweeps.spec.training_config": "unit/sweeps/spec/test_load.py",
    "sweeps.steering.control": "unit/sweeps/steering/test_client.py",
    "sweeps.steering.inbox": "unit/sweeps/steering/test_client.py",
    "sweeps.steering.offline": "unit/sweeps/steering/test_client.py",
    "sweeps.steering.state": "unit/sweeps/steering/test_client.py",
    "sweeps.ui.pages.trial_details": "unit/sweeps/ui/pages/test_trial.py",
    "sweeps.ui.app": "unit/sweeps/ui/test_protection.py",
    "sweeps.ui.discovery": "unit/sweeps/ui/test_cache.py",
    "sweeps.ui.pages.parts": "unit/sweeps/ui/pages/test_sweep.py",
    "sweeps.ui.pages.trial_table": "unit/sweeps/ui/pages/test_sweep.py",
    "trainable.config.error_messages": "unit/trainable/config/test_schema.py",
    "trainable.config.sections.dataset": "unit/trainable/config/test_config.py",
    "trainable.config.sections.loss": "unit/trainable/config/test_config.py",
    "trainable.config.sections.output": "unit/trainable/config/test_config.py",
    "trainable.data.loading": "unit/trainable/data/test_download.py",
    "trainable.data.own.passes": "unit/trainable/data/own/test_load.py",
    "trainable.data.own.source": "unit/trainable/data/own/test_load.py",
    "trainable.data.splits.position_record": "unit/trainable/data/array_file/test_record.py",
    "trainable.features.head_split": "unit/trainable/features/test_cached.py",
    "trainable.inference.formats": "unit/trainable/inference/test_export_model.py",
    "trainable.inference.sample_images": "unit/trainable/inference/test_export_model.py",
    "trainable.inspection.copies": "unit/sweeps/planning/test_data_report.py",
    "trainable.inspection.files": "unit/sweeps/planning/test_data_report.py",
    "trainable.inspection.loaded": "unit/sweeps/planning/test_data_report.py",
    "trainable.inspection.report": "unit/sweeps/planning/test_data_report.py",
    "trainable.inspection.samples": "unit/sweeps/planning/test_data_report.py",
    "trainable.models.resnet_cifar": "unit/trainable/models/test_models.py",
    "trainable.profiling.concurrent": "unit/sweeps/planning/test_gpu_sharing.py",
    "trainable.ray_trial.shared_worker_client": "unit/trainable/ray_trial/test_shared_worker.py",
    "trainable.ray_trial.trial_run": "unit/trainable/ray_trial/test_shared_worker.py",
    "trainable.training.gpu.batched_operations": "unit/trainable/training/test_step.py",
    "trainable.training.trainer_state": "unit/trainable/training/test_trainer_loading.py",
    "trainable.training.gpu.replay_checks": "unit/trainable/training/gpu/test_cuda_graphs.py",
}
"""Module without a test file of its own -> the test that covers it, below `tests/`."""


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def mirrored_test(path: Path) -> Path:
    """Returns the test file of a module; that of a package's `__init__` is named after it."""
    folder = path.parent.relative_to(ROOT)
    name = path.parent.name if path.stem == "__init__" else path.stem.strip("_")
    return ROOT / "tests" / "unit" / folder / f"test_{name}.py"


def test_modules_are_discovered() -> None:
    assert len(MODULES) > 50
    assert {"sweeps.spec.search_spec", "trainable.config", "trainable.models.cnv"} <= set(MODULES)


@pytest.mark.parametrize("alias", ["models", "utils"])
def test_no_module_imports_the_short_names_of_the_loading_snippet(alias: str) -> None:
    assert importers(alias) == set()


def test_an_alias_only_imports() -> None:
    for path in ALIASES.glob("*.py"):
        body = syntax_tree(path).body
        assert [type(node) for node in body] == [ast.Expr, ast.ImportFrom, ast.Assign], path


def installed_requirements() -> set[str]:
    """Names the distributions that the project requires directly or not, if installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    queue = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names: set[str] = set()
    while queue:
        name = re.split(r"[^\w.-]", queue.pop(), maxsplit=1)[0]
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name not in names:
            names.add(name)
            try:
                queue += requires(name) or []
            except PackageNotFoundError:
                continue  # optional, or for another system
    return names


def test_no_module_has_the_name_of_a_library() -> None:
    """`python sweeps/run.py` puts `sweeps/` first on the path, where it would shadow a library."""
    required = installed_requirements()
    libraries = {
        package
        for package, distributions in packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in required for name in distributions)
    }
    assert {"torch", "ray", "yaml"} <= libraries
    reserved = sys.stdlib_module_names | libraries
    own = {name.split(".")[1] for name in MODULES if name.count(".") == 1}
    assert own & reserved == set()


@pytest.mark.parametrize("folder", ["sweeps", "trainable", "tests"])
def test_no_file_is_too_long(folder: str) -> None:
    lengths = {path.relative_to(ROOT).as_posix(): count_lines(path) for path in sources(folder)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES[folder]} == {}


@pytest.mark.parametrize("folder", ["sweeps", "trainable", "tests"])
def test_no_function_is_too_long(folder: str) -> None:
    too_long = {}
    for path in sources(folder):
        for node in functions(path):
            has_docstring = ast.get_docstring(node, clean=False) is not None
            first = node.body[1 if has_docstring and len(node.body) > 1 else 0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            if lines >= MAX_FUNCTION_LINES:
                too_long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert too_long == {}


@pytest.mark.parametrize("folder", ["sweeps", "trainable"])
def test_no_function_has_too_many_parameters(folder: str) -> None:
    too_many = {}
    for path in sources(folder):
        for node in functions(path):
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [parameter.arg for parameter in parameters if parameter.arg not in SELF]
            if len(names) > MAX_PARAMETERS:
                too_many[f"{path.relative_to(ROOT)}:{node.name}"] = names
    assert too_many == {}


@pytest.mark.parametrize("folder", ["sweeps", "trainable"])
def test_no_package_has_too_many_files(folder: str) -> None:
    counts: dict[str, int] = {}
    for path in sources(folder):
        package = path.parent.relative_to(ROOT).as_posix()
        counts[package] = counts.get(package, 0) + 1
    assert {name: count for name, count in counts.items() if count > MAX_PACKAGE_FILES} == {}


def test_every_long_module_has_a_test_file_at_the_mirrored_place() -> None:
    long = {name: path for name, path in MODULES.items() if count_lines(path) > MAX_UNTESTED_LINES}
    without = {name for name, path in long.items() if not mirrored_test(path).exists()}
    assert without == TESTED_ELSEWHERE.keys()


def test_a_module_without_its_own_test_file_is_covered_by_one_that_exists() -> None:
    assert [
        file for file in TESTED_ELSEWHERE.values() if not (ROOT / "tests" / file).exists()
    ] == []


def test_modules_lie_in_packages() -> None:
    flat = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("sweeps/*.py")}
    assert flat == {f"sweeps/{name}.py" for name in ("__init__", "errors", "run", "restore")}
    flat = {path.stem for path in ROOT.glob("trainable/*.py")}
    assert flat == {
        "__init__",
        "__main__",
        "atomic_files",
        "errors",
        "signals",
        "trial_settings",
        "uri",
        "utils",
    }


def test_every_error_for_the_user_is_in_sweeps_errors() -> None:
    classes = {
        node.name
        for path in MODULES.values()
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and any(is_public_error(base) for base in node.bases)
    }
    assert classes | {"Problem", "TuneSweepsError"} == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), errors.TuneSweepsError) for name in classes)


def is_public_error(base: ast.expr) -> bool:
    return isinstance(base, ast.Name) and base.id in errors.__all__
