"""Trainings on own data sets: resumed, evaluated and exported, with random items."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import own_data
from trainable.config import TrainConfig, load_config
from trainable.errors import DataError, TuneSweepsError
from trainable.experiment.fit import Outcome
from trainable.experiment.from_checkpoint import evaluate_checkpoint, restored_config
from trainable.inference.export_model import export_checkpoint

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("working_directory")


@pytest.fixture
def make_config(tiny_config: MakeConfig) -> MakeConfig:
    def make(name: str = "drawing", dataset: dict[str, Any] | None = None, **keys: Any) -> Any:
        return tiny_config(
            dataset={
                "name": f"tests.support.own_data:{name}",
                "num_workers": 0,
                **(dataset or {}),
            },
            model={"name": "tiny_models:pooled_cnn"},
            training={"epochs": 3, "batch_size": 16},
            checkpoint={"enabled": True, "save_frequency": 1, **keys},
        )

    return make


def latest(outcome: Outcome) -> Path:
    assert outcome.directory is not None
    return outcome.directory / "checkpoints" / "latest.pt"


def weights(outcome: Outcome) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(latest(outcome), weights_only=True)
    return {key: state[key] for key in ("model_state_dict", "optimizer_state_dict")}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["drawing", "epochs_and_draws"])
def test_a_resumed_training_equals_an_uninterrupted_one(
    name: str,
    workers: int,
    make_config: MakeConfig,
    run_fit: RunFit,
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    whole = run_fit(make_config(name))
    dataset = {"num_workers": workers}
    first = run_fit(make_config(name, dataset), stop_after=1)
    second = run_fit(make_config(name, dataset, resume=str(latest(first))))
    assert_same(weights(second), weights(whole))
    rows = [without_times(row) for row in [*first.rows, *second.rows]]
    assert rows == [without_times(row) for row in whole.rows]


def test_a_training_records_what_is_done_to_the_images(
    make_config: MakeConfig, run_fit: RunFit
) -> None:
    plain = run_fit(make_config("arrays"))
    assert plain.directory is not None
    dataset = load_config(plain.directory / "config.yaml").dataset
    assert dataset.classes == ("0", "1", "2")
    assert dataset.mean == pytest.approx(own_data.PIXELS.mean((0, 1, 2)) / 255, abs=0.02)
    assert dataset.image_size is None
    sized = run_fit(make_config("pictures", {"image_size": 12}))
    assert sized.directory is not None
    dataset = load_config(sized.directory / "config.yaml").dataset
    assert (dataset.image_size, dataset.interpolation, dataset.crop_share) == (
        12,
        "bilinear",
        0.875,
    )


def test_a_checkpoint_is_evaluated_continued_and_exported(
    make_config: MakeConfig, run_fit: RunFit, tmp_path: Path
) -> None:
    outcome = run_fit(make_config("drawing_texts"))
    scores = [evaluate_checkpoint(latest(outcome), {}, allow_custom_model=True) for _ in range(2)]
    assert scores[0]["test_acc"] == outcome.rows[-1]["test_acc"]
    assert scores[0] == scores[1]
    more = run_fit(restored_config(latest(outcome), tmp_path / "more", 4, {}))
    assert [row["epoch"] for row in more.rows] == [4]
    exported = export_checkpoint(str(latest(outcome)), "safetensors", allow_custom_model=True)
    assert exported.images.are_real


def test_without_the_flag_the_code_of_a_data_set_is_never_imported(
    tiny_config: MakeConfig,
    run_fit: RunFit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "locked_data.py").write_text(
        "from tests.support.own_data import arrays\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny_config(
        dataset={"name": "locked_data:arrays", "image_size": 8},
        model={"name": "resnet20"},
        training={"epochs": 1},
        checkpoint={"enabled": True},
    )
    path = latest(run_fit(config))
    del sys.modules["locked_data"]
    with pytest.raises(DataError, match="add --allow-custom-model"):
        evaluate_checkpoint(path, {}, allow_custom_model=False)
    exported = export_checkpoint(str(path), "safetensors")
    assert not exported.images.are_real
    assert "add --allow-custom-model" in str(exported.images.reason)
    assert "locked_data" not in sys.modules


def test_other_classes_are_refused_by_name(make_config: MakeConfig, run_fit: RunFit) -> None:
    outcome = run_fit(make_config("only_train", {"test_split": 0.2, "args": {"site": "a"}}))
    with pytest.raises(DataError, match="missing a42 and new b42"):
        evaluate_checkpoint(latest(outcome), {"dataset.args.site": "b"}, allow_custom_model=True)


def test_images_that_have_changed_are_refused_where_a_part_is_held_out(
    make_config: MakeConfig, run_fit: RunFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_fit(make_config("arrays", {"val_split": 0.2}), stop_after=1)
    plain = run_fit(make_config("arrays", {"val_split": None}), stop_after=1)
    monkeypatch.setattr(own_data, "LABELS", own_data.LABELS[::-1].copy())
    with pytest.raises(
        TuneSweepsError, match=r"changed since the training began \(train 60 -> 60"
    ):
        run_fit(make_config("arrays", {"val_split": 0.2}, resume=str(latest(first))))
    again = run_fit(make_config("arrays", {"val_split": None}, resume=str(latest(plain))))
    assert [row["epoch"] for row in again.rows] == [2, 3]
