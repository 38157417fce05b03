"""`keep.trials`: only the best trials keep their weights; all keep their metrics."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.retention import CheckpointRetention, prune_weights
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord, TrialState
from trainable.artifacts.metrics import MetricsFile
from trainable.errors import ConfigError

WEIGHTS = (
    "checkpoints/best.pt",
    "checkpoints/epoch_0002.pt",
    "checkpoints/latest.pt",
    "checkpoint_000001/checkpoint.pt",
)
KEPT = ("config.yaml", "metrics.jsonl", "tensorboard/events.out.tfevents.1", "trial.json")


def spec_keeping(trials: Any, tiny_data: Callable[..., Any], **tune: Any) -> SearchSpec:
    return parse_search(
        {
            "name": "kept",
            "config": tiny_data(checkpoint={"enabled": True}),
            "space": {"optimizer.learning_rate": {"uniform": [0.1, 0.2]}},
            "tune": {"num_samples": 5, **tune},
            "keep": {"trials": trials},
        }
    )


def make_trial(
    directory: Path, number: int, state: TrialState, rows: list[Mapping[str, Any]]
) -> Path:
    """Writes a trial with all its files and these metrics."""
    record = TrialRecord(str(number), number, f"trial_{number}", {}, state=state)
    record.changes["training.epochs"] = len(rows)
    SweepLayout(directory).write_trial(record)
    trial = directory / record.directory
    for name in (*WEIGHTS, *KEPT[:1], KEPT[2]):
        (trial / name).parent.mkdir(exist_ok=True)
        (trial / name).write_bytes(b"content")
    for epoch, row in enumerate(rows, 1):
        MetricsFile(trial / "metrics.jsonl").append({"epoch": epoch, **row})
    return trial


def files(trial: Path) -> set[str]:
    return {path.relative_to(trial).as_posix() for path in trial.rglob("*") if path.is_file()}


def scores(*values: float | None) -> list[Mapping[str, Any]]:
    return [{"val_acc": value} for value in values]


ALL = {*WEIGHTS, *KEPT}


def test_the_best_keep_their_weights_and_all_keep_their_metrics(
    tmp_path: Path, tiny_data: Callable[..., Any]
) -> None:
    curves = [[0.2, 0.3], [0.9, 0.1], [0.5, 0.6], [0.1, 0.7]]
    trials = [make_trial(tmp_path, n, "finished", scores(*c)) for n, c in enumerate(curves)]
    before = {trial: {name: (trial / name).read_bytes() for name in KEPT} for trial in trials}
    # Ranked by their best epochs: 0.9, 0.7, 0.6, 0.3.
    assert prune_weights(tmp_path, spec_keeping(2, tiny_data)) == ["trial_2", "trial_0"]
    assert [files(trial) for trial in trials] == [set(KEPT), ALL, set(KEPT), ALL]
    for trial in trials:
        assert {name: (trial / name).read_bytes() for name in KEPT} == before[trial]
    assert not list(tmp_path.glob("trial_0/checkpoint_*"))


def test_pruning_again_deletes_nothing(tmp_path: Path, tiny_data: Callable[..., Any]) -> None:
    trials = [make_trial(tmp_path, n, "finished", scores(n / 10)) for n in range(3)]
    spec = spec_keeping(1, tiny_data)
    assert prune_weights(tmp_path, spec) == ["trial_1", "trial_0"]
    assert prune_weights(tmp_path, spec) == []
    assert files(trials[2]) == ALL


@pytest.mark.parametrize("state", ["pending", "running", "paused"])
def test_a_trial_that_has_not_ended_is_never_touched(
    tmp_path: Path, tiny_data: Callable[..., Any], state: TrialState
) -> None:
    worst = make_trial(tmp_path, 0, state, scores(0.0))
    without = make_trial(tmp_path, 1, state, [])
    ended = [make_trial(tmp_path, n, "stopped", scores(n / 10)) for n in (2, 3)]
    assert prune_weights(tmp_path, spec_keeping(1, tiny_data)) == ["trial_2"]
    assert files(worst) == ALL
    assert files(without) == ALL - {"metrics.jsonl"}
    assert files(ended[1]) == ALL


def test_a_trial_that_has_not_ended_does_not_count_among_the_best(
    tmp_path: Path, tiny_data: Callable[..., Any]
) -> None:
    """Its rank is not final, so it must not cost another trial its weights."""
    make_trial(tmp_path, 0, "running", scores(0.9))
    ended = make_trial(tmp_path, 1, "finished", scores(0.1))
    assert prune_weights(tmp_path, spec_keeping(1, tiny_data)) == []
    assert files(ended) == ALL


def test_failed_trials_and_trials_without_a_score_are_pruned_first(
    tmp_path: Path, tiny_data: Callable[..., Any]
) -> None:
    make_trial(tmp_path, 0, "failed", scores(float("nan"), float("nan")))
    make_trial(tmp_path, 1, "failed", scores(float("nan"), float("nan")))
    make_trial(tmp_path, 2, "stopped", scores(0.1))
    assert prune_weights(tmp_path, spec_keeping(1, tiny_data)) == ["trial_0", "trial_1"]


def test_the_best_of_a_loss_are_the_lowest(tmp_path: Path, tiny_data: Callable[..., Any]) -> None:
    for number, loss in enumerate((0.3, 0.1, 0.2)):
        make_trial(tmp_path, number, "finished", [{"val_loss": loss}])
    spec = spec_keeping(1, tiny_data, metric="val_loss")
    assert prune_weights(tmp_path, spec) == ["trial_2", "trial_0"]


def test_the_earlier_of_equal_trials_keeps_its_weights(
    tmp_path: Path, tiny_data: Callable[..., Any]
) -> None:
    for number in range(3):
        make_trial(tmp_path, number, "finished", scores(0.5))
    assert prune_weights(tmp_path, spec_keeping(1, tiny_data)) == ["trial_1", "trial_2"]


def test_by_default_all_weights_stay(tmp_path: Path, tiny_data: Callable[..., Any]) -> None:
    trial = make_trial(tmp_path, 0, "finished", scores(0.5))
    assert prune_weights(tmp_path, spec_keeping("all", tiny_data)) == []
    assert files(trial) == ALL


@pytest.mark.parametrize("written", [5, "top 5", "top  5", " top 5 "])
def test_top_n_is_accepted_as_text(written: int | str, tiny_data: Callable[..., Any]) -> None:
    spec = spec_keeping(written, tiny_data)
    assert spec.keep.trials == 5
    assert spec.to_dict()["keep"] == {"epochs": "all", "trials": 5, "min_free_gib": 0.5}


@pytest.mark.parametrize("written", ["top", "top five", "5", "best 5", "top -1", "top 0", 0])
def test_any_other_spelling_is_refused(written: int | str, tiny_data: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"keep\.trials: must be") as caught:
        spec_keeping(written, tiny_data)
    assert "found" in str(caught.value)


def test_in_a_running_sweep_every_trial_is_read_once_when_it_has_ended(
    tmp_path: Path, tiny_data: Callable[..., Any]
) -> None:
    values = (0.3, 0.9, 0.1, 0.6, 0.7)
    trials = [make_trial(tmp_path, n, "running", scores(v)) for n, v in enumerate(values)]
    records = SweepLayout(tmp_path).read_trials()
    retention = CheckpointRetention(tmp_path, spec_keeping(2, tiny_data))
    kept = []
    for record, trial in zip(records, trials, strict=True):
        record.state = "finished"
        retention.prune(records)
        (trial / "metrics.jsonl").unlink()
        kept.append([number for number, path in enumerate(trials) if set(WEIGHTS) <= files(path)])
    assert kept == [
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
        [0, 1, 3, 4],  # trial 2 has lost its weights; trials 3 and 4 have not ended
        [1, 3, 4],
        [1, 4],
    ]


def test_a_trial_whose_epochs_are_unknown_keeps_its_weights(
    tmp_path: Path, tiny_data: Callable[..., Any]
) -> None:
    """It may be the best one."""
    best = make_trial(tmp_path, 0, "finished", scores(0.9))
    (best / "metrics.jsonl").write_bytes(b"")
    make_trial(tmp_path, 1, "finished", scores(0.1))
    make_trial(tmp_path, 2, "finished", scores(0.2))
    assert prune_weights(tmp_path, spec_keeping(1, tiny_data)) == ["trial_1"]
    assert set(WEIGHTS) <= files(best)
