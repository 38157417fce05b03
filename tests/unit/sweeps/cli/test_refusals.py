"""A command that is refused (exit code 2) changes nothing on disk: no name, no byte, no time."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweeps.cli.main import main
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.layout import LOCK_FILE
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.__main__ import main as train
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.config.yaml_reader import dump_yaml
from trainable.training.trainer import Trainer

CONFIG: dict[str, Any] = {
    "dataset": {"name": "digits", "val_split": 0.2},
    "model": {"name": "resnet20"},
    "training": {"epochs": 2},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "checkpoint": {"enabled": True},
}
SEARCH: dict[str, Any] = {
    "name": "finished",
    "config": "config.yaml",
    "space": {"optimizer.learning_rate": {"loguniform": [1e-3, 1.0]}},
    "tune": {"num_samples": 3},
}
OWN_CODE = {**CONFIG, "model": {"name": "tiny_models:mlp"}}

Snapshot = dict[str, tuple[int, bytes]]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, tiny_trainer: Callable[..., Trainer]
) -> Iterator[Path]:
    """A working directory with sweeps, search files, configs and checkpoints.

    All commands share it: none of them changes anything.
    """
    directory = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        fill(Path(), tiny_trainer())
        yield directory


def fill(directory: Path, trainer: Trainer) -> None:
    states: dict[str, Any] = {
        "finished": {},
        "failed": {"states": {1: "failed"}},
        "paused": {"states": {2: "paused", 3: "paused"}, "state": "paused"},
    }
    for name, options in states.items():
        sweep = FakeSweep(directory / "experiments" / name, 4, space=ONE_KEY, tune={}, **options)
        (sweep.write() / LOCK_FILE).touch()  # as a sweep has that was ever run
    texts = {
        "config.yaml": CONFIG,
        "own.yaml": OWN_CODE,
        "search.yaml": SEARCH,
        "own_search.yaml": {**SEARCH, "name": "own", "config": "own.yaml"},
    }
    for name, data in texts.items():
        (directory / name).write_text(dump_yaml(data))
    write_checkpoint(trainer.state_dict(), [directory / "good.pt"])
    (directory / "a_file").touch()
    (directory / "full").mkdir()
    (directory / "full" / "thesis.tex").touch()


def snapshot(directory: Path) -> Snapshot:
    """Returns the time and the content of every file and directory."""
    files: Snapshot = {}
    for path in [directory, *directory.rglob("*")]:
        time = 0 if path.name == LOCK_FILE else path.lstat().st_mtime_ns
        content = path.read_bytes() if path.is_file() else b""
        files[path.relative_to(directory).as_posix()] = time, content
    return files


def invoke(command: str) -> Result:
    program, *words = shlex.split(command)
    return CliRunner().invoke(train if program == "train" else main, words, prog_name=program)


REFUSED = [
    # run
    "sweep run",
    "sweep run nothing.yaml",
    "sweep run a_file",
    "sweep run search.yaml",
    "sweep run search.yaml --set tune.num_samples=0",
    "sweep run search.yaml --set name=a/b",
    "sweep run search.yaml --set name=new --set config.training.epochs=0",
    "sweep run search.yaml --set name=new --set config.checkpoint.dir=a_file",
    "sweep run search.yaml --set name=new --set config.checkpoint.dir=a_file/below",
    "sweep run search.yaml --set name=new --set config.checkpoint.dir=~no-such-user/x",
    "sweep run search.yaml --set name=new --set config.checkpoint.resume=missing.pt",
    "sweep run search.yaml --set name=new --set tune.warm_start=full --set tune.search_alg=gp",
    "sweep run search.yaml --set name=new --address http://head:8265",
    "sweep run search.yaml --set name=new --address 127.0.0.1:1",
    "sweep run search.yaml --set name=full --set config.checkpoint.dir=.",
    "sweep run own_search.yaml",
    "sweep run search.yaml --or-resume --set name=",
    "sweep run --resume experiments/paused nothing.yaml",
    "sweep run --resume experiments/paused search.yaml",
    "sweep run --resume experiments/paused --set tune.num_samples=0",
    # resume
    "sweep resume full",
    "sweep resume missing",
    "sweep resume experiments/paused --num-samples 0",
    "sweep resume experiments/paused --num-samples 4x",
    "sweep resume experiments/paused --time-budget soon",
    "sweep resume experiments/paused --max-concurrent-trials 0",
    "sweep resume experiments/paused --cpu -1",
    "sweep resume experiments/paused --gpu 1.5",
    "sweep resume experiments/paused --address http://head:8265",
    "sweep resume experiments/paused --address 127.0.0.1:1",
    "sweep resume experiments/paused --set tune.num_samples=0",
    "sweep resume experiments/paused --set config.training.epochs=3",
    "sweep resume experiments/paused --set tune.num_samples",
    # continue, retry, stop
    "sweep extend experiments/paused --top 1 --epochs 20",
    "sweep extend experiments/finished --top 1 --epochs 1",
    "sweep extend experiments/finished --top 0 --epochs 20",
    "sweep extend experiments/finished --epochs 20",
    "sweep extend experiments/finished --top 1 --trials 0000 --epochs 20",
    "sweep extend experiments/finished --trials zzzz --epochs 20",
    "sweep extend experiments/finished --trials 0000,, --epochs 20",
    "sweep extend experiments/finished --top 1 --epochs 20 --address http://head:8265",
    "sweep extend experiments/finished --top 1 --epochs 20 --address 127.0.0.1:1",
    "sweep retry experiments/failed --cause ooom",
    "sweep retry experiments/failed --address http://head:8265",
    "sweep pause full",
    "sweep pause missing",
    # one checkpoint
    "sweep restore missing.pt",
    "sweep restore a_file",
    "sweep restore good.pt",
    "sweep restore good.pt --allow-custom-model --epochs 0",
    "sweep restore good.pt --allow-custom-model --set training.epochs=x",
    "sweep restore good.pt --allow-custom-model --set trainin.epochs=3",
    "sweep restore good.pt --allow-custom-model --set model.num_classes=4",
    "sweep restore good.pt --allow-custom-model --set optimizer.name=adam",
    "sweep restore good.pt --allow-custom-model --dir a_file",
    "sweep restore good.pt --allow-custom-model --dir a_file/below",
    "sweep restore good.pt --allow-custom-model --dir=~no-such-user/x",
    "sweep eval missing.pt",
    "sweep eval good.pt",
    "sweep eval good.pt --allow-custom-model --set model.num_classes=4",
    # reading and writing files
    "sweep validate nothing.yaml",
    "sweep validate search.yaml --set tune.num_samples=0",
    "sweep plan nothing.yaml",
    "sweep plan search.yaml --write full",
    "sweep plan search.yaml --write a_file",
    "sweep plan search.yaml --write a_file/below",
    "sweep export experiments/finished --format parquet",
    "sweep export experiments/finished --format optuna --epochs",
    "sweep export experiments/finished --output missing/x.csv",
    "sweep export experiments/finished --output full",
    "sweep export experiments/finished --format parquet --output missing/x.parquet",
    "sweep export experiments/finished --format optuna --output missing/x.log",
    "sweep export experiments/finished --format optuna --output full",
    "sweep export full",
    "sweep report full",
    "sweep gc full",
    "sweep plot full",
    "sweep list missing",
    "sweep status full",
    "sweep best full",
    "sweep show experiments/finished zzzz",
    "sweep logs experiments/finished zzzz",
    "sweep compare experiments/finished 0000 zzzz",
    "sweep submit search.yaml --address http://127.0.0.1:1",
    "sweep submit nothing.yaml --address http://127.0.0.1:1",
    # one training
    "train nothing.yaml",
    "train a_file",
    "train search.yaml",
    "train own.yaml",
]


@pytest.mark.parametrize("command", REFUSED)
def test_a_refused_command_changes_nothing(command: str, place: Path) -> None:
    before = snapshot(place)
    result = invoke(command)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert snapshot(place) == before


@pytest.mark.parametrize("verb", ["resume", "retry", "gc", "extend --top 1 --epochs 20"])
def test_a_command_for_a_sweep_that_runs_changes_nothing(verb: str, place: Path) -> None:
    first, *options = verb.split()
    with sweep_lock(place / "experiments" / "failed"):
        before = snapshot(place)
        result = invoke(" ".join(["sweep", first, "experiments/failed", *options]))
        assert snapshot(place) == before
    assert result.exit_code == 2
    assert "is being run by" in result.stderr


@pytest.mark.parametrize(
    "keys",
    [
        {"checkpoint.dir": "a_file"},
        {"checkpoint.dir": "a_file/below"},
        {"checkpoint.resume": "missing.pt"},
        {"checkpoint.resume": "good.pt"},
        {"checkpoint.dir": ".", "checkpoint.experiment_name": "full"},
        {"dataset.root": "~no-such-user/x"},
        {"dataset.name": "image_folder", "dataset.root": "full"},
        {"model.num_classes": 4},
    ],
    ids=str,
)
def test_a_refused_training_changes_nothing(keys: dict[str, Any], place: Path) -> None:
    config = {name: dict(section) for name, section in CONFIG.items()}
    for key, value in keys.items():
        section, name = key.split(".")
        config[section][name] = value
    Path("bad.yaml").write_text(dump_yaml(config))
    before = snapshot(place)
    result = invoke("train bad.yaml")
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert snapshot(place) == before
