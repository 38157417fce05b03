"""Rules between keys of a search file: `points_to_evaluate`, `warm_start`, constraints."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.spec.load import parse_search
from tests.support.search_specs import spec_of
from trainable.errors import ConfigError


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_a_missing_earlier_sweep_is_refused_before_anything_runs(tmp_path: Path, verb: str):
    path = tmp_path / "search.yaml"
    path.write_text(
        "config: {dataset: {name: digits}, model: {name: resnet20}, training: {epochs: 2}, "
        "optimizer: {name: sgd, learning_rate: 0.1}}\n"
        "space: {optimizer.learning_rate: {uniform: [0.1, 0.2]}}\n"
        f"tune: {{num_samples: 3, search_alg: tpe, warm_start: {tmp_path / 'gone'}}}\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, [verb, str(path)])
    assert result.exit_code == 2
    assert f"{tmp_path / 'gone'}/sweep.json: there is no such file" in result.stderr


def test_a_constraint_that_cannot_be_computed_says_why():
    with pytest.raises(ConfigError, match=r"leaves nothing to try: .*'<' not supported between"):
        spec_of(constraints=["optimizer.learning_rate < 'a'"])


@pytest.mark.parametrize("algorithm", ["random", "qmc", "bohb"])
def test_an_algorithm_that_learns_from_no_earlier_sweep_takes_no_warm_start(algorithm):
    scheduler = "asha" if algorithm == "bohb" else "fifo"
    rule = f"tune.warm_start: {algorithm} learns from no earlier trials; use tpe"
    with pytest.raises(ConfigError, match=rule):
        spec_of(search_alg=algorithm, scheduler=scheduler, warm_start="earlier")


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr("sweeps.spec.validation.search.find_spec", lambda name: None)
    rule = 'cmaes needs the package cmaes, which is not installed: pip install "cmaes"'
    with pytest.raises(ConfigError, match=rule):
        spec_of(search_alg="cmaes")


NO_GPU = "is measured on GPUs only, and the trials have none (resources.gpu: 0); leave it out"
ONE_PROCESS = (
    "is not measured for the trials of one process (resources.process: shared); leave it out, or "
    "set process: trial"
)


@pytest.mark.parametrize(
    ("resources", "rule"),
    [
        ({}, NO_GPU),
        ({"gpu": 0}, NO_GPU),
        ({"gpu": 0.5, "process": "shared"}, ONE_PROCESS),
        ({"gpu": 0.5}, None),
        ({"gpu": "auto"}, None),
    ],
    ids=str,
)
def test_a_metric_that_the_trials_devices_cannot_measure_is_refused(resources, rule):
    data = spec_of(pareto={"epoch_s": "min"}).to_dict() | {"resources": resources}
    data["tune"]["pareto"] = {"peak_memory_gib": "min"}
    if rule is None:
        parse_search(data)
        return
    with pytest.raises(ConfigError) as error:
        parse_search(data)
    problems = [f"{p.key}: {p.rule}" for p in error.value.problems]
    assert problems == [f"tune.pareto.peak_memory_gib: {rule}"]
    parse_search(data, is_recorded=True)  # a sweep of an earlier version is still read


@pytest.mark.parametrize(
    ("tune", "problem"),
    [
        (
            {"metric": "val_loss", "mode": "max"},
            'tune.mode: must be "min" for val_loss, found "max": write mode: min or leave it out, '
            "or take another metric (train_acc, val_acc, best_acc)",
        ),
        (
            {"metric": "val_acc", "mode": "min"},
            'tune.mode: must be "max" for val_acc, found "min": write mode: max or leave it out, '
            "or take another metric (train_loss, val_loss)",
        ),
        (
            {"pareto": {"epoch_s": "max"}},
            'tune.pareto.epoch_s: must be "min" for epoch_s, found "max": write epoch_s: min, '
            "or take another metric (train_acc, val_acc, best_acc)",
        ),
        (
            {"target": 99},
            "tune.target: must be above 0 and at most 1 for val_acc, a fraction, found 99; "
            "99 % is 0.99",
        ),
        (
            {"target": 0},
            "tune.target: must be above 0 and at most 1 for val_acc, a fraction, found 0",
        ),
        ({"metric": "val_loss", "target": -1}, "tune.target: must be >= 0 for val_loss, found -1"),
    ],
)
def test_a_mode_or_target_against_the_metric_is_refused(tune, problem):
    with pytest.raises(ConfigError) as error:
        spec_of(**tune)
    assert [f"{p.key}: {p.rule}" for p in error.value.problems] == [problem]
    data = {"config": {"dataset": {"name": "digits"}, "model": {"name": "resnet20"},
            "training": {"epochs": 9}, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
            "tune": {"num_samples": 4, **tune}}  # fmt: skip
    assert parse_search(data, is_recorded=True), "sweeps of earlier versions can be read"


def test_a_metric_of_the_command_line_against_the_files_mode_is_refused(tmp_path: Path):
    path = tmp_path / "search.yaml"
    path.write_text(
        "config: {dataset: {name: digits}, model: {name: resnet20}, training: {epochs: 2}, "
        "optimizer: {name: sgd, learning_rate: 0.1}}\n"
        "tune: {num_samples: 3, metric: val_acc, mode: max}\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["validate", str(path), "--set", "tune.metric=val_loss"])
    assert result.exit_code == 2
    assert 'line 2: tune.mode: must be "min" for val_loss' in result.stderr
    assert "(with --set tune.metric)" in result.stderr
