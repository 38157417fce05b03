"""The forecast of a sweep's disk space: files per trial, trials that keep them, real sweeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.planning.cost import estimate_size, predict_disk
from sweeps.planning.disk import expected_files, forecast_disk
from sweeps.planning.plan import Plan, make_plan
from sweeps.spec.load import load_search, parse_search
from trainable.config import CheckpointConfig

ROOT = Path(__file__).parents[4]
TWO_CPUS = {"CPU": 2.0, "GPU": 0.0}
USED_BY_DIGITS_ASHA = 77_498_435
"""Bytes of the 35 checkpoints that a run of `configs/search.yaml` has left."""

MakePlan = Callable[..., Plan]


@pytest.fixture
def make(tiny_data: Callable[..., dict[str, Any]], working_directory: Path) -> MakePlan:
    """Plans six trials of three epochs without `best.pt`, with some sections replaced."""

    def plan(sections: dict[str, Any] | None = None, **tune: Any) -> Plan:
        checkpoint = {"enabled": True, "save_frequency": 2, "save_best": False}
        data = {
            "config": tiny_data(checkpoint=checkpoint),
            "space": {"optimizer.learning_rate": {"loguniform": [0.001, 1.0]}},
            "tune": {"num_samples": 6, "seed": 3, **tune},
        }
        return make_plan(parse_search({**data, **(sections or {})}), TWO_CPUS)

    return plan


def test_the_forecast_of_a_shipped_sweep_is_close_to_what_it_used() -> None:
    plan = make_plan(load_search(ROOT / "configs" / "search.yaml"), TWO_CPUS)
    assert predict_disk(plan).high == pytest.approx(USED_BY_DIGITS_ASHA, rel=0.15)


@pytest.mark.parametrize(
    ("save_frequency", "keep_epochs", "epochs", "files"),
    [
        (4, "all", 12, 3),  # latest.pt is a name of epoch_0012.pt
        (4, "all", 13, 4),
        (4, 1, 12, 1),
        (4, 2, 13, 3),
        (4, 0, 12, 1),
        (4, 5, 3, 1),
        (1, "all", 7, 7),
    ],
)
def test_names_of_one_file_count_once(
    save_frequency: int, keep_epochs: int | str, epochs: int, files: int
) -> None:
    plain = CheckpointConfig(enabled=True, save_frequency=save_frequency, save_best=False)
    assert expected_files(plain, keep_epochs, epochs) == files
    with_best = plain.model_copy(update={"save_best": True})
    assert files <= expected_files(with_best, keep_epochs, epochs) < files + 1


def test_the_best_epoch_is_often_one_of_the_others() -> None:
    every = CheckpointConfig(enabled=True, save_frequency=1)
    assert expected_files(every, "all", 30) == 30
    rare = CheckpointConfig(enabled=True, save_frequency=100)
    assert expected_files(rare, "all", 1) == 1
    assert expected_files(rare, "all", 2) == 1
    assert expected_files(rare, "all", 5) == 1.5  # the fourth or the fifth
    assert expected_files(rare, "all", 99) == pytest.approx(1 + 20 / 21)


@pytest.mark.parametrize(
    ("keep", "files", "peak"),
    [
        ({}, 12, 12),  # epoch_0002.pt and the third epoch as latest.pt
        ({"epochs": 0}, 6, 6),
        ({"trials": 1}, 2, 6),  # besides the kept trial, two run
        ({"trials": 5, "epochs": 0}, 5, 6),
        ({"trials": 9}, 12, 12),
    ],
)
def test_the_forecast_counts_the_files_that_are_kept(
    make: MakePlan, keep: dict[str, Any], files: int, peak: int
) -> None:
    disk = forecast_disk(make({"keep": keep}), [1000])
    assert (disk.low, disk.high, disk.peak) == (files * 1000, files * 1000, peak * 1000)


def test_sizes_are_averaged_unless_only_some_trials_keep_their_files(make: MakePlan) -> None:
    disk = forecast_disk(make(), [1000, 1000, 4000])
    assert (disk.low, disk.high) == (12 * 2000, 12 * 2000)
    disk = forecast_disk(make({"keep": {"trials": 2}}), [1000, 1000, 4000])
    assert (disk.low, disk.high) == (4 * 1000, 4 * 4000)


def test_trials_that_are_stopped_early_have_fewer_files(make: MakePlan) -> None:
    asha = {"name": "asha", "grace_period": 1, "reduction_factor": 2}
    full, stopped = forecast_disk(make(), [1000]), forecast_disk(make(scheduler=asha), [1000])
    assert 6 * 1000 < stopped.high < full.high
    best = make({"keep": {"trials": 1}}, scheduler=asha)
    assert forecast_disk(best, [1000]).high == 2 * 1000  # the best trial has all its epochs


def test_stops_that_cannot_be_foreseen_make_it_a_range(make: MakePlan) -> None:
    disk = forecast_disk(make(scheduler={"name": "median", "grace_period": 1}), [1000])
    assert (disk.low, disk.high) == (6 * 1000, 12 * 1000)


def test_swept_epochs_are_counted_per_draw(make: MakePlan) -> None:
    space = {"training.epochs": {"grid": [1, 7]}}
    plan = make({"space": space}, num_samples=2, search_alg="grid")
    assert forecast_disk(plan, [1000]).high == (1 + 4) * 1000


def test_the_trials_of_final_train_all_their_epochs(make: MakePlan) -> None:
    asha = {"name": "asha", "grace_period": 1, "reduction_factor": 2}
    plain = forecast_disk(make(scheduler=asha), [1000])
    more = forecast_disk(make(scheduler=asha, final={"top": 1, "repeats": 2}), [1000])
    assert more.high == plain.high + 2 * 2 * 1000


def test_without_checkpoints_no_disk_is_used(
    make: MakePlan, tiny_data: Callable[..., dict[str, Any]]
) -> None:
    disk = forecast_disk(make({"config": tiny_data()}), [1000])
    assert (disk.low, disk.high, disk.peak) == (0, 0, 0)


SIZED_MODEL = """\
from torch import nn

builds = []

def build(num_classes, in_channels, width=1.0, dropout=0.0):
    builds.append((width, dropout))
    layers = nn.Linear(64, round(100 * width)), nn.Linear(round(100 * width), num_classes)
    return nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(64), nn.Dropout(dropout), *layers)
"""


@pytest.mark.parametrize(
    ("args", "most_builds"),
    [
        ({"dropout": {"uniform": [0.1, 0.5]}}, 2),
        ({"width": {"uniform": [1.0, 9.0]}}, 6),
        ({"dropout": {"uniform": [0.1, 0.5]}, "width": {"uniform": [1.0, 9.0]}}, 6),
        ({"dropout": {"choice": [0.25]}}, 1),
    ],
)
def test_models_that_differ_in_floats_are_built_only_if_their_sizes_differ(
    make: MakePlan,
    tiny_data: Callable[..., dict[str, Any]],
    working_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: dict[str, Any],
    most_builds: int,
) -> None:
    (working_directory / "sized_model.py").write_text(SIZED_MODEL)
    monkeypatch.syspath_prepend(str(working_directory))
    config = tiny_data(model={"name": "sized_model:build"}, checkpoint={"enabled": True})
    space = {f"model.args.{name}": values for name, values in args.items()}
    plan = make({"config": config, "space": space})
    configs = [plan.spec.trial_config(draw, number) for number, draw in enumerate(plan.draws)]
    sizes = [estimate_size(config, allow_custom_model=True)[1] for config in configs]
    import sized_model  # type: ignore[import-not-found]

    sized_model.builds.clear()
    assert predict_disk(plan, allow_custom_model=True) == forecast_disk(plan, sizes)
    assert len(sized_model.builds) <= most_builds
