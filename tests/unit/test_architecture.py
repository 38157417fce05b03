"""What may import what, and how large things may get: the rules of CONTRIBUTING.md, checked."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALIASES = ROOT / "trainable" / "aliases"

MAX_FILE_LINES = {"sweeps": 400, "trainable": 400, "tests": 500}
MAX_FUNCTION_LINES = 50
"""From a function's first statement, its docstring not counted, to its last."""

RAY_USERS = {
    "sweeps.cluster.session",
    "sweeps.trials.failures",
    "sweeps.execution.result_files",
    "sweeps.cluster.jobs",
    "sweeps.cluster.gpu_workers",
    "sweeps.trials.pause",
    "sweeps.schedulers.pbt",
    "sweeps.search.ray_searchers",
    "sweeps.execution.recorder",
    "sweeps.schedulers.recording",
    "sweeps.schedulers.replay",
    "sweeps.execution.restore_trials",
    "sweeps.trials.retries",
    "sweeps.execution.tune_run",
    "sweeps.schedulers.build",
    "sweeps.cluster.storage_check",
    "sweeps.execution.storage_callback",
    "sweeps.trials.trial",
    "sweeps.execution.trial_source",
    "sweeps.execution.tune_overhead",
    "trainable.ray_trial.classifier",
    "trainable.ray_trial.shared_worker_client",
}
OPTUNA_USERS = {
    "sweeps.report.optuna_charts",
    "sweeps.search.optuna_space",
    "sweeps.search.optuna_samplers",
    "sweeps.report.optuna_study",
    "sweeps.report.optuna_files",
}

PURE = [
    "sweeps.api",
    "sweeps.spec.overrides",
    "sweeps.cli.main",
    "sweeps.storage.sweep_mirror",
    "sweeps.space.distributions",
    "sweeps.space.parameters",
    "sweeps.spec.validate_parameters",
    "sweeps.execution.environment",
    "sweeps.results.export",
    "sweeps.space.expressions",
    "sweeps.execution.hooks",
    "sweeps.spec.json_schema",
    "sweeps.sweep_dir.layout",
    "sweeps.execution.live_view",
    "sweeps.results.cleanup",
    "sweeps.results.loaded_sweep",
    "sweeps.space.parsing",
    "sweeps.cluster.code_package",
    "sweeps.cluster.placement",
    "sweeps.storage.location",
    "sweeps.results.progress",
    "sweeps.results.ranking",
    "sweeps.results.trial_results",
    "sweeps.planning.expected_epochs",
    "sweeps.spec.validate_scheduler",
    "sweeps.spec.schedulers",
    "sweeps.spec.validate_search",
    "sweeps.spec.search_algorithms",
    "sweeps.spec.settings",
    "sweeps.space.search_space",
    "sweeps.spec.validate_space",
    "sweeps.spec.search_spec",
    "sweeps.storage.uploader",
    "sweeps.storage.lease",
    "sweeps.report.text_charts",
    "sweeps.spec.training_config",
    "sweeps.cli.validate",
    "sweeps.cli.jobs",
    "sweeps.cli.options",
    "sweeps.cli.plan",
    "sweeps.cli.listing",
    "sweeps.cli.trial",
    "sweeps.cli.export",
    "sweeps.cli.status",
    "sweeps.cli.run",
    "sweeps.cli.checkpoint",
    "sweeps.terminal.formatting",
    "trainable.uri",
    "trainable.config",
    "trainable.errors",
    "trainable.atomic_files",
    "trainable.artifacts.metrics",
    "trainable.config.introspection",
    "trainable.storage.mirror",
    "trainable.config.names",
    "trainable.config.override",
    "trainable.config.error_messages",
    "trainable.storage.object_store",
    "trainable.storage.scratch",
    "trainable.config.schema",
    "trainable.config.components",
    "trainable.artifacts.trial_log",
    "trainable.utils",
    "trainable.config.yaml_reader",
    "trainable.config.yaml_resolver",
]
"""Without torch, Ray and Optuna: files are checked, and sweeps read, in a moment."""


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def packages() -> dict[str, Path]:
    """Dotted name -> file of every module of the two packages, the aliases left out."""
    found = {}
    for path in sources("sweeps", "trainable"):
        if not path.is_relative_to(ALIASES):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[dotted.removesuffix(".__init__")] = path
    return found


MODULES = packages()


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found.add(node.module or "")
    return found


def importers(package: str) -> set[str]:
    """The modules of the project that import a top-level package or something below it."""
    return {
        name
        for name, path in MODULES.items()
        if any(found.partition(".")[0] == package for found in imports(path))
    }


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 50
    assert {"sweeps.spec.search_spec", "trainable.config", "trainable.models.cnv"} <= set(MODULES)


def test_the_trainable_knows_nothing_of_sweeps() -> None:
    assert {name for name in importers("sweeps") if name.startswith("trainable")} == set()


@pytest.mark.parametrize("alias", ["models", "utils"])
def test_nobody_imports_the_short_names_of_the_loading_snippet(alias: str) -> None:
    assert importers(alias) == set()


def test_an_alias_defines_nothing_of_its_own() -> None:
    for path in ALIASES.glob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert [type(node) for node in body] == [ast.Expr, ast.ImportFrom, ast.Assign], path


def test_ray_and_optuna_are_imported_only_where_they_may_be() -> None:
    assert importers("ray") == RAY_USERS
    assert importers("optuna") == OPTUNA_USERS


def test_sweeps_leaves_torch_to_the_trainable() -> None:
    users = importers("torch") | importers("torchvision")
    assert {name for name in users if name.startswith("sweeps")} == set()


def test_pure_modules_load_without_torch_ray_and_optuna() -> None:
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'torchvision', 'ray', 'optuna'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} loads {heavy}'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *PURE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_pure_module_exists() -> None:
    assert set(PURE) <= set(MODULES)


def installed_for_the_project() -> set[str]:
    """Names of the distributions that the project pulls in, as far as they are installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    found: set[str] = set()
    while waiting:
        name = re.split(r"[^\w.-]", waiting.pop(), maxsplit=1)[0]
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name not in found:
            found.add(name)
            try:
                waiting += requires(name) or []
            except PackageNotFoundError:
                continue  # optional, or for another system
    return found


def test_no_module_has_the_name_of_a_library() -> None:
    """Run as a script, Python puts the script's folder first on the path."""
    ours = installed_for_the_project()
    libraries = {
        package
        for package, distributions in packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in ours for name in distributions)
    }
    assert {"torch", "ray", "yaml"} <= libraries
    taken = sys.stdlib_module_names | libraries
    ours_by_name = {name.split(".")[1] for name in MODULES if name.count(".") == 1}
    assert ours_by_name & taken == set()


@pytest.mark.parametrize("folder", ["sweeps", "trainable", "tests"])
def test_no_file_is_too_long(folder: str) -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(folder)
    }
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
