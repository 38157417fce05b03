"""Writes directories like those of real sweeps, without Ray and without training anything."""

import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from sweeps.cli.main import main
from sweeps.spec.load import parse_search
from sweeps.sweep_dir.layout import SEARCH_FILE, SweepLayout
from sweeps.sweep_dir.records import Failure, SweepRecord, SweepState, TrialRecord, TrialState
from trainable.config.yaml_reader import dump_yaml

SPACE: dict[str, Any] = {
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.learning_rate": {"loguniform": [1e-4, 1.0]},
    "optimizer.momentum": {"uniform": [0.5, 0.99], "when": {"optimizer.name": "sgd"}},
    "training.batch_size": {"choice": [32, 64, 128]},
}
ONE_KEY: dict[str, Any] = {"optimizer.learning_rate": SPACE["optimizer.learning_rate"]}
ASHA = {"name": "asha", "grace_period": 1, "reduction_factor": 3}

NAME, PARENT, WORKING_DIRECTORY = "NAME_OF_SWEEP", "/PARENT_OF_SWEEP", "/WORKING_DIRECTORY"
"""Stand in the files that are kept for what differs between two sweeps with the same options."""
_FILES: dict[str, dict[str, str]] = {}
"""Options of a sweep that was written -> its files by their names."""


@dataclass
class FakeSweep:
    """A sweep directory to write; its trials' ids are `0000aaaa`, `0001aaaa` and so on."""

    directory: Path
    trials: int = 12
    epochs: int = 9
    state: SweepState = "finished"
    space: Mapping[str, Any] = field(default_factory=lambda: SPACE)
    tune: Mapping[str, Any] = field(default_factory=lambda: {"scheduler": ASHA})
    keep: Mapping[str, Any] = field(default_factory=dict)
    states: Mapping[int, TrialState] = field(default_factory=dict)
    """Number of a trial -> its state, where it differs from the one that ASHA would give it."""
    rules: Mapping[int, str] = field(default_factory=dict)
    """Number of a trial -> the key of `training` that has ended it."""
    finals: Mapping[int, int] = field(default_factory=dict)
    """Number of a final trial -> the number of its configuration."""
    epoch_s: Mapping[int, float] = field(default_factory=dict)
    """Number of a trial -> seconds per epoch, if they are not 2."""
    weights: bool = True
    """Whether trials have `.pt` files, which contain no weights."""
    best_ids: Sequence[str] = ()
    """Ids of the best trials, best first, that differ from `0000aaaa` and so on."""

    def write(self) -> Path:
        """Writes the directory and returns its path."""
        self.directory.mkdir(parents=True)
        options = {item.name: getattr(self, item.name) for item in fields(self)}
        key = repr({**options, "directory": None})
        if key not in _FILES:
            with tempfile.TemporaryDirectory() as parent:
                template = Path(parent, NAME)
                replace(self, directory=template)._write_files()
                files = (path for path in template.rglob("*") if path.is_file())
                _FILES[key] = {p.relative_to(template).as_posix(): p.read_text() for p in files}
        here, parent = str(Path.cwd()), str(self.directory.parent)
        for name, text in _FILES[key].items():
            shown = str(Path.cwd() / parent) if name == SEARCH_FILE else parent
            text = text.replace(PARENT, shown).replace(WORKING_DIRECTORY, here)
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace(NAME, self.directory.name))
        return self.directory

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True)
        layout = SweepLayout(self.directory)
        layout.search_file.write_text(dump_yaml(self._build_search()))
        records = [self._write_trial(layout, number) for number in range(self.trials)]
        counts = dict(sorted(Counter(record.state for record in records).items()))
        layout.write_sweep(
            SweepRecord(
                self.directory.name,
                self.state,
                "2026-01-15T14:30:22+00:00",
                ended=None if self.state == "running" else "2026-01-15T15:30:22+00:00",
                reason="SIGINT" if self.state == "paused" else None,
                elapsed_s=3600.0,
                trials=counts,
                versions={"tune-sweeps": "0.1.0", "ray": "2.60.0"},
            )
        )

    def _build_config(self) -> dict[str, Any]:
        return {
            "dataset": {"name": "digits", "val_split": 0.2},
            "model": {"name": "resnet20"},
            "training": {"epochs": self.epochs, "batch_size": 64},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "checkpoint": {"enabled": True, "dir": PARENT},
        }

    def _build_search(self) -> dict[str, Any]:
        config = self._build_config()
        config["dataset"]["root"] = f"{WORKING_DIRECTORY}/data"
        config["tensorboard"] = {"log_dir": f"{WORKING_DIRECTORY}/runs"}
        data = {
            "name": self.directory.name,
            "config": config,
            "space": dict(self.space),
            "tune": {"num_samples": self.trials, "seed": 1, **self.tune},
            "keep": dict(self.keep),
        }
        return parse_search(data, is_recorded=True).to_dict()

    def _sample(self, configuration: int) -> dict[str, Any]:
        values = _sample_values(random.Random(configuration))
        return {key: value for key, value in values.items() if key in self.space}

    def _ids(self) -> dict[int, str]:
        if not self.best_ids:
            return {}
        by_quality = sorted(range(self.trials), key=lambda n: -compute_quality(self._sample(n)))
        return dict(zip(by_quality, self.best_ids, strict=False))

    def _write_trial(self, layout: SweepLayout, number: int) -> TrialRecord:
        repeats = self.tune.get("repeats", 1)
        configuration = self.finals.get(number, number // repeats)
        values = self._sample(configuration)
        rng = random.Random(number)
        quality = compute_quality(values)
        is_stopped = quality < 0.6 or number in self.rules
        state = self.states.get(number) or ("stopped" if is_stopped else "finished")
        trained = {"pending": 0, "stopped": 3, "failed": 2, "running": 5, "paused": 5}
        epochs = min(trained.get(state, self.epochs), self.epochs)
        trial_id = self._ids().get(number, f"{number:04d}aaaa")
        record = TrialRecord(
            id=trial_id,
            number=number,
            directory=f"resnet20_digits_20260115_143022_{trial_id}",
            values=values,
            state=state,
            created=_format_time(number, 0),
            started=None if state == "pending" else _format_time(number, 1),
            ended=_format_time(number, 2) if state in {"finished", "stopped", "failed"} else None,
            configuration=configuration if repeats > 1 or self.finals else None,
            repeat=repeats if number in self.finals else number % repeats,
            final=number in self.finals,
            stopped_by=self.rules.get(number),
            stop_reason="a rule" if number in self.rules else None,
        )
        if state == "failed":
            failure = Failure("oom", "CUDA out of memory", "Traceback: ...", epochs, None, "now")
            record.failures.append(failure)
        directory = layout.directory / record.directory
        layout.write_trial(record)
        (directory / "config.yaml").write_text(dump_yaml(_set_keys(self._build_config(), values)))
        seconds = self.epoch_s.get(number, 2.0)
        rows = [_build_row(quality, epoch, seconds, rng) for epoch in range(1, epochs + 1)]
        (directory / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        if self.weights and rows:
            (directory / "checkpoints").mkdir()
            for name in ("best.pt", "latest.pt"):
                (directory / "checkpoints" / name).write_bytes(b"weights")
        return record


def _set_keys(config: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        section, name = key.split(".")
        config[section][name] = value
    return config


def _sample_values(rng: random.Random) -> dict[str, Any]:
    values: dict[str, Any] = {
        "optimizer.name": rng.choice(["sgd", "adamw"]),
        "optimizer.learning_rate": 10 ** rng.uniform(-4, 0),
    }
    if values["optimizer.name"] == "sgd":
        values["optimizer.momentum"] = rng.uniform(0.5, 0.99)
    return {**values, "training.batch_size": rng.choice([32, 64, 128])}


def compute_quality(values: Mapping[str, Any]) -> float:
    """Returns a quality in (0, 1), best at a learning rate of 0.03; little else matters."""
    distance = math.log10(values.get("optimizer.learning_rate", 0.03)) + 1.5
    return math.exp(-(distance**2) / 2) * (1 - 0.0005 * values.get("training.batch_size", 0))


def _build_row(quality: float, epoch: int, seconds: float, rng: random.Random) -> dict[str, Any]:
    acc = min(1.0, quality * (1 - math.exp(-epoch / 3)) + rng.uniform(0, 0.01))
    return {
        "epoch": epoch,
        "train_loss": 2 * (1 - acc),
        "train_acc": acc,
        "val_loss": 2.1 * (1 - acc),
        "val_acc": acc,
        "test_loss": None,
        "test_acc": None,
        "best_acc": acc,
        "lr": 0.1,
        "epoch_s": seconds,
        "images_per_s": 5000.0,
        "peak_memory_gib": None,
        "device": "cpu",
    }


def _format_time(number: int, step: int) -> str:
    minute = number + 10 * step
    return f"2026-01-15T{14 + minute // 60 % 10}:{minute % 60:02d}:00+00:00"


def trial(directory: Path, number: int) -> Path:
    """Returns the directory of a trial by its number."""
    (path,) = directory.glob(f"*_{number:04d}aaaa")
    return path


def sweep(*words: str | Path, code: int = 0) -> Result:
    """Runs a `sweep` command and checks its exit code."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def as_json(*words: str | Path) -> Any:
    """Runs a `sweep` command with `--json` and returns what it prints."""
    return json.loads(sweep(*words, "--json").stdout)
