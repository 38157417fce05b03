"""Trainings on stored features of a frozen backbone are those on images; features are shared."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.frozen_models import COUNT_FILE
from tests.support.image_folders import write_image_folder
from tests.support.small_disks import largest_file
from trainable.features.store import DIRECTORY_VARIABLE, SIZE_VARIABLE
from trainable.training.trainer import Trainer

TRAIN, VAL, TEST = 1151, 287, 359
"""Images of digits with a `val_split` of 0.2."""

MakeTrainer = Callable[..., Trainer]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the features of this test."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "features"))
    monkeypatch.setenv(COUNT_FILE, str(tmp_path / "count"))
    return tmp_path / "features"


@pytest.fixture
def make(tiny_trainer: MakeTrainer) -> MakeTrainer:
    """Builds trainings of digits with a frozen backbone."""

    def build(
        training: dict[str, Any] | None = None, *, augmented: bool = False, **sections: Any
    ) -> Trainer:
        sections = {
            "dataset": {"augment": augmented},
            "model": {"name": "frozen_models:counted", "freeze": "backbone"},
            **sections,
        }
        return tiny_trainer(
            training={"test_frequency": 1, "batch_size": 100, **(training or {})}, **sections
        )

    return build


def count_images(directory: Path) -> int:
    """Returns the images that backbones were run on, without the probes of two images."""
    path = directory.parent / "count"
    counts = map(int, path.read_text().split()) if path.exists() else []
    return sum(count for count in counts if count > 2)


def run(trainer: Trainer, epochs: int = 3) -> list[dict[str, Any]]:
    metrics = ("train_loss", "train_acc", "val_loss", "val_acc", "test_loss", "test_acc")
    rows = [trainer.run_epoch() for _ in range(epochs)]
    return [{name: row[name] for name in metrics} for row in rows]


def assert_same_model(first: Trainer, second: Trainer) -> None:
    state = second.model.state_dict()
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"ema": {"enabled": True, "decay": 0.8}},
        {"training": {"sampler": "balanced", "accumulation_steps": 3}},
        {"loss": {"name": "cross_entropy", "label_smoothing": 0.1}},
    ],
    ids=["plain", "ema", "balanced", "smoothing"],
)
def test_metrics_and_weights_are_those_without_the_cache(
    make: MakeTrainer, directory: Path, sections: dict[str, Any]
) -> None:
    others = {name: value for name, value in sections.items() if name != "training"}
    training = sections.get("training", {})
    cached = make(training, **others)
    before = {k: v.clone() for k, v in cached.model.state_dict().items() if "head" not in k}
    plain = make({**training, "cache_features": False}, **others)
    rows = run(cached)
    assert count_images(directory) == TRAIN + VAL + TEST
    for row, expected in zip(rows, run(plain), strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    assert_same_model_closely(cached, plain)
    state = cached.state_dict()
    for name, value in before.items():
        assert torch.equal(state["model_state_dict"][name], value)
    # `sweep eval` runs the whole model.
    again = make({"cache_features": False}, **others)
    again.load_state_dict(state)
    assert again.score("test").acc == rows[-1]["test_acc"]


def assert_same_model_closely(first: Trainer, second: Trainer) -> None:
    state = second.model.state_dict()
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-4, atol=1e-6)


def test_trainings_of_one_process_compute_features_once(
    make: MakeTrainer, directory: Path
) -> None:
    first, second = make(), make(optimizer={"name": "adamw", "learning_rate": 0.01})
    run(first)
    assert sorted(note.split(" (")[1].split(")")[0] for note in first.execution_notes) == [
        "test", "train", "val",
    ]  # fmt: skip
    run(second)
    assert second.execution_notes == []
    assert count_images(directory) == TRAIN + VAL + TEST
    assert len(list(directory.glob("*.safetensors"))) == 3
    assert [path for path in directory.iterdir() if path.suffix != ".safetensors"] == []
    other_weights = make(seed={"enabled": True, "value": 7})
    run(other_weights, 1)
    assert len(other_weights.execution_notes) == 3


def _train(make: MakeTrainer, queue: Any) -> None:
    queue.put(run(make(), 1))


def test_trainings_of_two_processes_compute_features_once(
    make: MakeTrainer, directory: Path
) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_train, args=(make, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = queue.get(timeout=200), queue.get(timeout=200)
    for process in processes:
        process.join()
    assert first == second
    assert count_images(directory) == TRAIN + VAL + TEST


def test_augmented_passes_are_used_in_turn(make: MakeTrainer, directory: Path) -> None:
    trainer = make({"cached_passes": 2, "epochs": 5}, augmented=True)
    run(trainer, 1)
    assert count_images(directory) == TRAIN + VAL + TEST
    run(trainer, 4)
    assert count_images(directory) == 2 * TRAIN + VAL + TEST
    batches = {e: list(trainer.features.train_batches(e, seed=0, order=None)) for e in (1, 2, 3)}
    assert torch.equal(batches[1][0][0], batches[3][0][0])
    assert not torch.equal(batches[1][0][0], batches[2][0][0])
    assert torch.equal(batches[1][0][1], batches[2][0][1])
    (other_order, _), *_ = trainer.features.train_batches(1, seed=1, order=None)
    assert not torch.equal(batches[1][0][0], other_order)
    other_seed = make({"cached_passes": 2}, augmented=True, seed={"value": 42, "enabled": True})
    run(other_seed)
    assert other_seed.execution_notes == []


@pytest.mark.parametrize("cut", [1, 2])
def test_a_training_that_continues_ends_with_the_same_bits(
    make: MakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: int
) -> None:
    training = {"cached_passes": 2, "epochs": 3}
    whole = make(training, augmented=True)
    rows = run(whole)
    first = make(training, augmented=True)
    run(first, cut)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "other"))  # as on another node
    second = make(training, augmented=True, seed={"enabled": True, "value": 42})
    second.load_state_dict(first.state_dict())
    assert run(second, 3 - cut) == rows[cut:]
    assert_same_model(whole, second)


def test_a_full_disk_changes_no_result(make: MakeTrainer, directory: Path) -> None:
    expected = run(make())
    directory.rename(directory.with_name("elsewhere"))
    with pytest.MonkeyPatch.context() as patch, largest_file(1000):
        patch.setenv(DIRECTORY_VARIABLE, str(directory.with_name("full")))
        trainer = make()
        rows = run(trainer)
    assert rows == expected
    assert any("features are not kept on disk" in note for note in trainer.execution_notes)
    assert list(directory.with_name("full").glob("*.safetensors")) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SIZE_VARIABLE, "0")
        trainer = make()
        assert run(trainer) == expected
    assert any(f"{SIZE_VARIABLE} allows 0 GiB" in note for note in trainer.execution_notes)


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"model": {"name": "frozen_models:dropping", "freeze": "backbone"}},
         "the input of the classifier head is another one in training, for example because of "
         "dropout before it"),
        ({"model": {"name": "frozen_models:scaled", "freeze": "backbone"}},
         "the logits are not the output of the classifier head"),
        ({"augment": {"mixup": {"alpha": 0.2}}}, "mixup and cutmix mix images, not features"),
    ],
    ids=["dropout", "scaled", "mixup"],
)  # fmt: skip
def test_what_features_cannot_replace_is_trained_on_images(
    make: MakeTrainer, directory: Path, sections: dict[str, Any], reason: str
) -> None:
    trainer = make(**sections)
    trainer.run_epoch()
    assert trainer.execution_notes == [f"note: no cached features: {reason}"]
    assert count_images(directory) >= TRAIN + VAL
    assert not directory.exists()


def test_a_backbone_that_is_trained_later_has_no_cache(make: MakeTrainer, directory: Path) -> None:
    model = {"name": "frozen_models:counted", "freeze": "backbone", "unfreeze_epoch": 2}
    run(make(model=model), 2)
    assert not directory.exists()


def test_a_changed_image_of_a_folder_is_noticed(make: MakeTrainer, tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "images")
    dataset = {
        "name": "image_folder", "root": str(root), "image_size": 8, "val_split": None,
        "augment": False,
    }  # fmt: skip
    run(make(dataset=dataset), 1)
    path = root / "train" / "cat" / "0.png"
    path.write_bytes((root / "train" / "dog" / "0.png").read_bytes())
    trainer = make(dataset=dataset)
    run(trainer, 1)
    assert [note.split(" computed")[0] for note in trainer.execution_notes] == [
        "features of 16 images (train)"
    ]
