"""The Tune trial without a running Ray: steps, saves, restores, resets, exploits."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainable.artifacts.checkpoint import checkpoint_epoch, read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.errors import CheckpointError, ConfigError, TuneSweepsError
from trainable.ray_trial.classifier import ClassifierTrainable
from trainable.ray_trial.trial_run import TrialRun

Same = Callable[[Any, Any], None]
MakeTrial = Callable[..., ClassifierTrainable]

COSINE_OF_3 = [(1 + math.cos(math.pi * epoch / 3)) / 2 for epoch in range(4)]


def saved(trial: ClassifierTrainable, directory: Path) -> dict[str, Any]:
    """Returns the trial's present state, through its own save."""
    trial.save(str(directory))
    return read_checkpoint(directory / "checkpoint.pt")


def metrics(result: dict[str, Any]) -> dict[str, Any]:
    """Returns the metrics of an epoch, without times and the keys that Tune adds."""
    kept = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "test_acc", "best_acc")
    return {key: result[key] for key in (*kept, "lr")}


# ------------------------------------------------------------------------------ steps


def test_a_step_is_an_epoch_and_the_last_one_is_done(make_trial: MakeTrial) -> None:
    trial = make_trial()
    results = [trial.train() for _ in range(3)]
    assert [result["epoch"] for result in results] == [1, 2, 3]
    assert [result["training_iteration"] for result in results] == [1, 2, 3]
    assert [result["done"] for result in results] == [False, False, True]
    assert all(0 < result["val_acc"] <= 1 for result in results)


def test_a_diverged_trial_is_done(make_trial: MakeTrial) -> None:
    assert make_trial(optimizer={"learning_rate": 1e30}).train()["done"]


def test_a_trial_that_diverges_at_once_leaves_nothing_to_continue_from(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    """A retry would otherwise continue from weights that are NaN."""
    trial = make_trial(optimizer={"learning_rate": 1e30})
    trial.train()
    trial.save(str(tmp_path / "tune"))
    assert not list(tmp_path.rglob("latest.pt"))


def test_a_custom_model_needs_permission(make_trial: MakeTrial) -> None:
    trial = make_trial(_trial={"allow_custom_model": False})
    with pytest.raises(TuneSweepsError, match="runs only on request"):
        trial.train()


def test_a_failure_to_build_the_training_fails_a_step(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    """Tune gives up a trial whose setup fails, but retries one whose step fails."""
    donor = make_trial()
    donor.train()
    trial = make_trial(checkpoint={"resume": str(tmp_path / "donor" / "checkpoint.pt")})
    with pytest.raises(CheckpointError, match="there is no such file"):
        trial.train()
    donor.save(str(tmp_path / "donor"))
    assert trial.train()["epoch"] == 2


def test_a_wrong_config_is_refused(make_trial: MakeTrial) -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        make_trial(optimizer={"learning_rate": -1.0})


def test_dotted_keys_win_over_nested_ones(
    trial_config: Callable[..., dict[str, Any]], make_trial: MakeTrial
) -> None:
    """A scheduler changes such keys during training; see also the copied weights below."""
    trial = make_trial()
    assert trial.train()["lr"] == 0.1
    trial.reset({**trial_config(), "optimizer.learning_rate": 0.3})
    assert trial.train()["lr"] == 0.3


# ----------------------------------------------------------------------- save, restore


@pytest.mark.parametrize("enabled", [True, False], ids=["checkpoints", "no_checkpoints"])
def test_a_restored_trial_continues_bit_for_bit(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same, enabled: bool
) -> None:
    sections = {"model": {"name": "tiny_models:dropout_cnn"}, "checkpoint": {"enabled": enabled}}
    first = make_trial(**sections)
    first.train()
    first.save(str(tmp_path / "checkpoint"))
    second = make_trial(**sections)
    second.restore(str(tmp_path / "checkpoint"))
    for _ in range(2):
        assert_same(metrics(second.train()), metrics(first.train()))
    assert_same(saved(second, tmp_path / "b"), saved(first, tmp_path / "a"))


def test_a_broken_checkpoint_is_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial()
    trial.train()
    trial.save(str(tmp_path / "checkpoint"))
    path = tmp_path / "checkpoint" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        make_trial().restore(str(tmp_path / "checkpoint"))


# -------------------------------------------------------------------------------- reset


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"model": {"name": "tiny_models:dropout_cnn"}, "seed": {"value": 7}},
        {"optimizer": {"name": "adam", "learning_rate": 0.01}, "scheduler": {"name": "none"}},
        {"dataset": {"name": "synthetic", "shape": [3, 8, 8], "num_classes": 4, "num_train": 64,
                     "num_test": 64}},
        {"dataset": {"val_split": 0.5}, "training": {"batch_size": 32}},
        {"seed": {"enabled": False, "deterministic": True}},
        {"optimizer": {"learning_rate": 1e30}},
    ],
    ids=["same", "model", "optimizer", "dataset", "split", "deterministic", "diverged"],
)  # fmt: skip
@pytest.mark.parametrize("model", ["tiny_models:mlp", "tiny_models:dropout_cnn"])
def test_a_reset_trial_is_a_fresh_one_bit_for_bit(
    make_trial: MakeTrial,
    trial_config: Callable[..., dict[str, Any]],
    tmp_path: Path,
    assert_same: Same,
    before: dict[str, Any],
    model: str,
) -> None:
    fresh = make_trial(model={"name": model})
    expected = [metrics(fresh.train()) for _ in range(2)]
    reused = make_trial(**before)
    reused.train()
    assert reused.reset(trial_config(model={"name": model}))
    assert_same([metrics(reused.train()) for _ in range(2)], expected)
    assert_same(saved(reused, tmp_path / "reused"), saved(fresh, tmp_path / "fresh"))


def test_a_reset_trial_can_be_restored(
    make_trial: MakeTrial,
    trial_config: Callable[..., dict[str, Any]],
    tmp_path: Path,
    assert_same: Same,
) -> None:
    first = make_trial()
    first.train()
    first.save(str(tmp_path / "checkpoint"))
    reused = make_trial(model={"name": "tiny_models:dropout_cnn"})
    reused.train()
    reused.reset(trial_config())
    reused.restore(str(tmp_path / "checkpoint"))
    assert_same(metrics(reused.train()), metrics(first.train()))


def test_a_trial_can_be_stopped_after_a_reset_that_failed(
    make_trial: MakeTrial, trial_config: Callable[..., dict[str, Any]]
) -> None:
    trial = make_trial()
    with pytest.raises(ConfigError):
        trial.reset(trial_config(optimizer={"learning_rate": -1.0}))
    trial.stop()


# ------------------------------------------------------------------ another's checkpoint


def test_a_population_copies_weights_and_buffers_and_keeps_its_hyperparameters(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same
) -> None:
    donor = make_trial(optimizer={"momentum": 0.5})
    for _ in range(2):
        donor.train()
    given = saved(donor, tmp_path / "donor")
    own = {"learning_rate": 0.3, "momentum": 0.8, "weight_decay": 0.01, "nesterov": True}
    recipient = make_trial(optimizer=own, seed={"value": 5})
    recipient.train()
    recipient.restore(str(tmp_path / "donor"))
    state = saved(recipient, tmp_path / "recipient")

    assert_same(state["model_state_dict"], given["model_state_dict"])
    buffers = state["optimizer_state_dict"]["state"]
    assert_same(buffers, given["optimizer_state_dict"]["state"])
    assert any(buffer["momentum_buffer"].abs().sum() > 0 for buffer in buffers.values())
    (group,) = state["optimizer_state_dict"]["param_groups"]
    assert {key: group[key] for key in ("momentum", "weight_decay", "nesterov")} == {
        "momentum": 0.8,
        "weight_decay": 0.01,
        "nesterov": True,
    }
    assert (state["epoch"], state["best_acc"]) == (2, given["best_acc"])
    assert group["lr"] == pytest.approx(0.3 * COSINE_OF_3[2])
    assert state["config"]["optimizer"]["learning_rate"] == 0.3

    result = recipient.train()
    assert (result["epoch"], result["training_iteration"], result["done"]) == (3, 3, True)
    assert result["lr"] == pytest.approx(0.3 * COSINE_OF_3[2])


def test_after_an_exploit_best_is_the_trials_own_best_by_what_is_monitored(
    trial_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Its best epoch is one that it trains again; the earlier ones count."""
    config = trial_config(
        training={"epochs": 4},
        metrics=["f1_macro", "confusion_matrix"],
        checkpoint={"enabled": True, "monitor": "val_f1_macro", "save_frequency": 1},
    )
    donor, trial = (TrialRun(config, name, tmp_path / name) for name in ("donor", "trial"))
    donor.step()
    state = tmp_path / "donor" / "checkpoint_000000"
    state.mkdir()
    donor.save_into(state)
    rows = [trial.step() for _ in range(3)]
    assert rows[2]["best_epoch"] == 3
    trial.load(state)
    best = tmp_path / "trial" / "checkpoints" / "best.pt"
    assert checkpoint_epoch(best) == 1
    row = trial.step()
    trial.close()
    donor.close()
    assert (row["epoch"], row["best_epoch"]) == (2, 2)
    assert row["best_f1_macro"] == row["val_f1_macro"] > rows[0]["val_f1_macro"]
    assert checkpoint_epoch(best) == 2
    for name in ("metrics.jsonl", "classes.jsonl"):
        recorded = read_rows(tmp_path / "trial" / name)
        assert [line["epoch"] for line in recorded] == [1, 2]


def test_a_donor_of_another_architecture_is_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    donor = make_trial(model={"name": "tiny_models:dropout_cnn"})
    donor.train()
    donor.save(str(tmp_path / "donor"))
    with pytest.raises(CheckpointError, match="tiny_models:mlp in the config: its weights"):
        make_trial().restore(str(tmp_path / "donor"))
