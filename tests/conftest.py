"""Fixtures of several test files: a tiny training config, trainings of it, and equality."""

import copy
import gc
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Two test processes with two threads each would slow each other; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As in an activated environment: printed commands then say `sweep` and `python`.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

import torch

from trainable.config import TrainConfig, parse_config
from trainable.experiment.fit import Outcome, fit
from trainable.training.trainer import Trainer

sys.dont_write_bytecode = False
# A worker of pytest-xdist runs no file, like an interactive session, for which the checks before
# each sweep would start a process that imports torch.
vars(sys.modules["__main__"]).setdefault("__file__", pytest.__file__)

# As in a terminal: background jobs of a script ignore SIGINT, those of nohup SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# How long an example takes is the machine's. Every run by hand tries others, so that few do.
settings.register_profile("tests", deadline=None, max_examples=40)
settings.load_profile("tests")

TESTS = Path(__file__).parent
SUPPORT = TESTS / "support"
if str(SUPPORT) not in sys.path:
    sys.path.append(str(SUPPORT))  # for model.name: tiny_models:mlp


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keeps the garbage collector from the objects of modules, which are many and all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _features_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps stored features out of the user's cache, also in processes that tests start."""
    os.environ["TUNE_SWEEPS_FEATURES"] = str(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session", autouse=True)
def _no_memory_of_other_sweeps() -> None:
    """Lets no sweep of a test learn from another one what ran out of memory."""
    os.environ["TUNE_SWEEPS_MEMORY"] = os.devnull


TINY: dict[str, dict[str, Any]] = {
    "seed": {"enabled": True},
    "dataset": {"name": "digits", "val_split": 0.2},
    "model": {"name": "tiny_models:mlp"},
    "training": {"epochs": 3, "batch_size": 256},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "progress": {"enabled": False},
}

TIMES = {"epoch_s", "images_per_s"}
"""Metrics that differ between two runs of the same training."""


def _tiny_data(**sections: Any) -> dict[str, Any]:
    others = {name: value for name, value in sections.items() if isinstance(value, list)}
    names = {*TINY, *sections} - others.keys()
    merged = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in names}
    return {**merged, **others}


@pytest.fixture(scope="session")
def tiny_data() -> Callable[..., dict[str, dict[str, Any]]]:
    """Plain values of the tiny config, merged with sections: `tiny_data(model={...})`."""
    return _tiny_data


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., TrainConfig]:
    """The tiny config with merged sections: `tiny_config(checkpoint={"enabled": True})`."""
    return lambda **sections: parse_config(_tiny_data(**sections), "tiny")


@pytest.fixture(scope="session")
def tiny_trainer(tiny_config: Callable[..., TrainConfig]) -> Callable[..., Trainer]:
    """A training of the tiny config with merged sections on the CPU."""
    return lambda **sections: Trainer(
        tiny_config(**sections), device=torch.device("cpu"), allow_custom_model=True
    )


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Any, Any], None]:
    """Asserts that two nested states are equal bit by bit, and names the first difference."""
    return _assert_same


def _assert_same(left: Any, right: Any, where: str = "state") -> None:
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert list(left) == list(right), where
        for key in left:
            _assert_same(left[key], right[key], f"{where}[{key!r}]")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            _assert_same(*pair, f"{where}[{index}]")
    else:
        assert left == right, where


@pytest.fixture(scope="session")
def without_times() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a row of metrics without times."""
    return lambda row: {key: value for key, value in row.items() if key not in TIMES}


@pytest.fixture
def project_environment() -> dict[str, str]:
    """Environment for a subprocess that imports the packages, their aliases and tiny models."""
    root = TESTS.parent
    paths = (root, root / "trainable" / "aliases", SUPPORT)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def trial_config() -> Callable[..., dict[str, Any]]:
    """A Tune trial's config on the CPU with merged sections; `_trial` adds to its settings."""

    def make(_trial: Mapping[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
        settings = {"gpu": 0, "cpu": 1, "allow_custom_model": True, **(_trial or {})}
        return {**copy.deepcopy(_tiny_data(**sections)), "_trial": settings}

    return make


@pytest.fixture
def make_trial(
    trial_config: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Makes `ClassifierTrainable`s without a running Ray, and stops them at the end."""
    import ray  # takes seconds

    from trainable.ray_trial.classifier import ClassifierTrainable

    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    results = str(tmp_path / "ray_results")
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", results)
    was_running = ray.is_initialized()
    trials: list[ClassifierTrainable] = []

    def make(storage: Any = None, **sections: Any) -> ClassifierTrainable:
        trials.append(ClassifierTrainable(config=trial_config(**sections), storage=storage))
        return trials[-1]

    yield make
    for trial in trials:
        trial.stop()
    assert ray.is_initialized() == was_running


@pytest.fixture
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, for `./experiments` and `./data`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_fit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs `fit` on the CPU with the tiny models, and may stop it after some epochs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def run(config: TrainConfig, *, stop_after: int = 0, **options: Any) -> Outcome:
        epochs = itertools.count(1)
        return fit(
            config,
            allow_custom_model=True,
            should_stop=lambda: next(epochs) == stop_after,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def file_tree() -> Callable[[Path], set[str]]:
    """Lists the files below a directory, without the random parts of event files' names."""

    def tree(directory: Path) -> set[str]:
        files = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
        return {re.sub(r"(tfevents)\..*", r"\1.*", path.as_posix()) for path in files}

    return tree
