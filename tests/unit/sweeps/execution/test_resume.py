"""Resuming a sweep: opening its directory, and changes since the last run."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.execution.resume import (
    change_settings,
    drop_origin,
    merge_edited,
    open_for_resume,
    with_recorded_classes,
)
from sweeps.preflight.checks import refuse_failing_sweep
from sweeps.results.stored_spec import open_sweep
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import ONE_KEY, FakeSweep, sweep
from trainable.config.override import override
from trainable.config.yaml_reader import dump_yaml
from trainable.errors import ConfigError
from trainable.preflight.background import Options

LR = "optimizer.learning_rate"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a finished sweep of four trials of nine epochs under random search."""

    def write(**changes: Any) -> Path:
        settings = {"trials": 4, "space": ONE_KEY, "tune": {}, **changes}
        return FakeSweep(tmp_path / "sweep", **settings).write()

    return write


# ---------------------------------------------------------------------------- opening


def test_a_moved_sweep_can_be_opened(make: Callable[..., Path], tmp_path: Path) -> None:
    directory = make()
    spec, records = open_sweep(directory)
    assert spec.training.checkpoint.dir == str(tmp_path)
    assert [record.number for record in records] == [0, 1, 2, 3]
    moved = tmp_path / "far" / "away"
    shutil.copytree(directory, moved)
    shutil.rmtree(directory)
    spec, again = open_sweep(moved)
    assert spec.training.checkpoint.dir == str(tmp_path / "far")
    assert again == records


def test_the_resumed_checkpoint_is_not_needed_once_every_trial_has_its_own(
    make: Callable[..., Path],
) -> None:
    """It may have been moved or trained further since."""
    directory = make()
    spec, records = open_sweep(directory)
    config = override(spec.config, {"checkpoint.resume": "gone/latest.pt"})
    resumed = parse_search({**spec.to_dict(), "config": config})
    records[0].state = "paused"
    assert drop_origin(resumed, directory, records).training.checkpoint.resume is None
    assert drop_origin(resumed, directory, records[1:]) is resumed  # a new trial starts from it
    for path in (directory / records[0].directory / "checkpoints").iterdir():
        path.unlink()
    assert drop_origin(resumed, directory, records) is resumed


def test_classes_that_have_changed_since_the_first_trial_are_refused_by_name(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    directory = make(trials=2)
    spec, records = open_sweep(directory)
    dataset = {"name": "arrays", "root": str(tmp_path), "file": "data.npz"}
    spec = parse_search({**spec.to_dict(), "config": {**spec.config, "dataset": dataset}})
    pixels, labels = np.zeros((6, 8, 8), np.uint8), np.array(["cat", "dog", "emu"] * 2)
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    assert with_recorded_classes(spec, directory, records) is spec  # nothing is recorded
    (directory / records[0].directory / "config.yaml").write_text("dataset: {")  # damaged
    recorded = {"dataset": {**dataset, "classes": ["cat", "dog", "yak"]}}
    (directory / records[1].directory / "config.yaml").write_text(dump_yaml(recorded))
    checked = with_recorded_classes(spec, directory, records)
    with pytest.raises(ConfigError, match="missing yak and new emu"):
        refuse_failing_sweep(checked, Options(allow_custom_model=False))
    synthetic = {**spec.config, "dataset": {"name": "synthetic"}}
    space = {"dataset.num_classes": {"choice": [2, 3]}}
    searched = parse_search({**spec.to_dict(), "config": synthetic, "space": space})
    assert with_recorded_classes(searched, directory, records) is searched


def test_an_opened_sweep_is_locked(make: Callable[..., Path]) -> None:
    directory = make()
    with (
        open_for_resume(directory),
        pytest.raises(SweepError, match="is being run by"),
        open_for_resume(directory),
    ):
        pass
    with open_for_resume(directory), pytest.raises(SweepError), sweep_lock(directory):
        pass


def test_a_request_to_stop_is_deleted_if_it_is_older_than_the_driver(
    make: Callable[..., Path],
) -> None:
    layout = SweepLayout(make())
    layout.stop_file.touch()  # the previous driver did not handle it
    with open_for_resume(layout.directory):
        assert not layout.stop_file.exists()
        sweep("pause", layout.directory)  # while Ray is starting
        layout.remove_partial_writes()
        assert layout.stop_file.exists()


@pytest.mark.parametrize("exists", [False, True])
def test_without_a_sweep_no_file_is_created(exists: bool, tmp_path: Path) -> None:
    directory = tmp_path / "nothing"
    if exists:
        directory.mkdir()
    with (
        pytest.raises(SweepError, match=r"is this a sweep's directory\?"),
        open_for_resume(directory),
    ):
        pass
    assert list(tmp_path.rglob("*")) == [directory] * exists


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("  num_samples: ", "  num_simples: ", r"line \d+: tune.num_simples: unknown key"),
        ("config:", "konfig:", r"line \d+: konfig: unknown key"),
        ("name: resnet20", "name: resnet21", r"line \d+: config.model.name: .*resnet20"),
    ],
)
def test_a_recorded_search_file_that_is_broken_is_refused_by_line(
    old: str, new: str, rule: str, make: Callable[..., Path]
) -> None:
    path = make() / "search.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        open_sweep(path.parent)
    assert str(caught.value).startswith(f"{path}: ")
    assert re.search(rule, str(caught.value))


def test_a_missing_search_file_is_named(make: Callable[..., Path]) -> None:
    path = make() / "search.yaml"
    path.unlink()
    with pytest.raises(ConfigError, match=r"search\.yaml: 1 problem\n  no such file"):
        open_sweep(path.parent)


# ---------------------------------------------------------------------------- the command line


def test_the_command_line_changes_only_the_given_keys(
    make: Callable[..., Path],
) -> None:
    spec, _ = open_sweep(make(tune={"max_concurrent_trials": 3}))
    given = {"num_samples": 40, "time_budget": "4h", "max_concurrent_trials": None}
    changed = change_settings(spec, given, {"cpu": 2.0, "gpu": None})
    assert (changed.tune.num_samples, changed.tune.time_budget) == (40, 4 * 3600)
    assert (changed.tune.max_concurrent_trials, changed.resources.cpu) == (3, 2.0)
    assert change_settings(changed, {"num_samples": 4}, {}).tune.seed == spec.tune.seed
    assert change_settings(spec, {}, {}) == spec


@pytest.mark.parametrize(
    ("tune", "resources", "message"),
    [
        ({"num_samples": 0}, {}, "tune.num_samples: "),
        ({"time_budget": "soon"}, {}, "tune.time_budget: must be seconds or a text such as"),
        ({"max_concurrent_trials": -1}, {}, "tune.max_concurrent_trials: "),
        ({}, {"cpu": 0.0}, "resources.cpu: "),
        ({}, {"gpu": 1.5}, "resources.gpu: must be whole above 1"),
    ],
)
def test_a_change_that_breaks_its_rule_is_refused(
    tune: dict[str, Any], resources: dict[str, Any], message: str, make: Callable[..., Path]
) -> None:
    spec, _ = open_sweep(make())
    with pytest.raises(ConfigError) as caught:
        change_settings(spec, tune, resources)
    assert str(caught.value).startswith("the command line: 1 problem\n")
    assert message in str(caught.value)


# ---------------------------------------------------------------------------- an edited file


@pytest.fixture
def edited(make: Callable[..., Path], tmp_path: Path) -> Callable[..., tuple[SearchSpec, Any]]:
    """Edits a sweep's search file; returns the recorded and the merged spec."""

    def edit(**sections: dict[str, Any]) -> tuple[SearchSpec, SearchSpec]:
        directory = tmp_path / "sweep" if (tmp_path / "sweep").exists() else make()
        spec, _ = open_sweep(directory)
        data = spec.to_dict()
        for path, values in sections.items():
            target = data
            for name in path.split("__"):
                target = target.setdefault(name, {})
            target.update(values)
        file = tmp_path / "edited.yaml"
        file.write_text(dump_yaml(data))
        return spec, merge_edited(spec, file, directory)

    return edit


def test_totals_budget_resources_and_policies_may_change(
    edited: Callable[..., tuple[SearchSpec, SearchSpec]],
) -> None:
    recorded, merged = edited(
        tune={"num_samples": 9, "time_budget": "30m", "max_concurrent_trials": 2},
        resources={"cpu": 2, "gpu": 0.5},
        failure={"max_retries": 7},
        keep={"trials": 3},
    )
    assert (merged.tune.num_samples, merged.tune.time_budget) == (9, 1800)
    assert (merged.tune.max_concurrent_trials, merged.resources.gpu) == (2, 0.5)
    assert (merged.failure.max_retries, merged.keep.trials) == (7, 3)
    assert (merged.space, merged.config) == (recorded.space, recorded.config)


def test_the_data_directory_and_the_progress_bar_may_change(
    edited: Callable[..., tuple[SearchSpec, SearchSpec]], make: Callable[..., Path]
) -> None:
    make()
    _, merged = edited(
        config__dataset={"root": "/elsewhere", "num_workers": 3},
        config__progress={"enabled": False},
    )
    assert merged.training.dataset.root == "/elsewhere"
    assert merged.training.dataset.num_workers == 3
    assert merged.training.progress.enabled is False


def test_a_sweep_keeps_its_directory_and_name(
    edited: Callable[..., tuple[SearchSpec, SearchSpec]], tmp_path: Path
) -> None:
    recorded, merged = edited(config__checkpoint={"dir": "/elsewhere"})
    assert merged.training.checkpoint.dir == str(tmp_path)
    assert merged.name == recorded.name


def test_writing_out_a_default_changes_nothing(
    edited: Callable[..., tuple[SearchSpec, SearchSpec]],
) -> None:
    recorded, merged = edited(
        config__amp={"enabled": False}, config__training={"test_frequency": 10}
    )
    assert merged.trial_config({LR: 0.1}, 0) == recorded.trial_config({LR: 0.1}, 0)


def test_a_sampled_seed_is_kept(
    edited: Callable[..., tuple[SearchSpec, SearchSpec]],
) -> None:
    recorded, merged = edited(tune={"seed": None})
    assert merged.tune.seed == recorded.tune.seed


@pytest.mark.parametrize(
    ("section", "values", "line"),
    [
        ("config__training", {"epochs": 10}, "config.training.epochs: 9 -> 10"),
        ("config__model", {"name": "cnv"}, "config.model.name: resnet20 -> cnv"),
        ("config__dataset", {"val_split": 0.3}, "config.dataset.val_split: 0.2 -> 0.3"),
        ("config__amp", {"enabled": True}, "config.amp.enabled: False -> True"),
        ("tune", {"metric": "val_loss", "mode": "min"}, "tune.metric: val_acc -> val_loss"),
        ("tune", {"seed": 99}, "tune.seed: 1 -> 99"),
        ("tune", {"scheduler": {"name": "median"}}, "tune.scheduler.name: fifo -> median"),
        (
            "space",
            {"training.batch_size": {"choice": [32]}},
            "space.training.batch_size: (absent)",
        ),
        ("space", {LR: {"uniform": [0.1, 1.0]}}, f"space.{LR}: {{'loguniform'"),
    ],
)
def test_changes_of_what_trials_compute_are_refused(
    section: str,
    values: dict[str, Any],
    line: str,
    edited: Callable[..., tuple[SearchSpec, SearchSpec]],
    tmp_path: Path,
) -> None:
    with pytest.raises(SweepError) as caught:
        edited(**{section: values, "resources": {"cpu": 2}})
    text = str(caught.value)
    first, *differences, hint = text.splitlines()
    assert first == (
        f"{tmp_path / 'edited.yaml'} changes what the trials of {tmp_path / 'sweep'} compute:"
    )
    assert any(difference.startswith(f"  {line}") for difference in differences)
    assert "resources" not in text
    assert f"tune.warm_start: {tmp_path / 'sweep'}" in hint


def test_a_broken_edited_file_is_refused_as_any_other(
    edited: Callable[..., tuple[SearchSpec, SearchSpec]],
) -> None:
    with pytest.raises(ConfigError, match=r"edited\.yaml: 1 problem"):
        edited(tune={"num_samples": -1})
