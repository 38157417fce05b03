"""The HParams page of a training, as TensorBoard's own backend reads it from the event file."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.support.hparams_page import page, points, tags
from trainable.artifacts.tensorboard import TensorBoardWriter, end_session
from trainable.artifacts.tensorboard_hparams import Session

VALUES = {
    "optimizer.learning_rate": 0.25,
    "optimizer.name": "sgd",
    "optimizer.nesterov": True,
    "scheduler.milestones": [4, 8],
    "loss.class": {"name": "nll"},
    "loss.weight": None,
    "training.batch_size": 64,
}
SHOWN = {
    **VALUES,
    "scheduler.milestones": "[4, 8]",
    "loss.class": '{"name": "nll"}',
    "loss.weight": "null",
}


def row(epoch: int, **metrics: float | None) -> dict:
    return {"epoch": epoch, "val_acc": epoch / 8, "best_acc": 0.875, "test_acc": None, **metrics}


def curves(directory: Path, *, epochs: range, **values: object) -> TensorBoardWriter:
    """Writes the curves of a training that started or continued with these values."""
    writer = TensorBoardWriter(
        directory / "trial" / "tensorboard", Session("ab12", {**VALUES, **values})
    )
    writer.truncate(epochs.start - 1)
    for epoch in epochs:
        writer.append(row(epoch))
    return writer


def records(directory: Path) -> list[str]:
    """Returns the tags, or the version, of every record of the event files."""
    paths = sorted(directory.rglob("*tfevents*"))
    events = [event for path in paths for event in EventFileLoader(str(path)).Load()]
    return [
        ",".join(value.tag.rpartition("/")[2] for value in event.summary.value) or "version"
        for event in events
    ]


def test_a_training_shows_its_values_and_its_last_and_best_metric(tmp_path: Path) -> None:
    curves(tmp_path, epochs=range(1, 4)).close()
    (shown,) = page(tmp_path).items()
    assert shown[0] == "ab12"
    assert shown[1].run == "trial/tensorboard"
    assert shown[1].values == SHOWN
    assert shown[1].metrics == {"acc/val": 0.375, "acc/best": 0.875}
    assert shown[1].status == "UNKNOWN"


def test_without_a_session_there_is_no_page(tmp_path: Path) -> None:
    alone = TensorBoardWriter(tmp_path / "tensorboard")
    alone.append(row(1))
    alone.close()
    end_session(tmp_path / "tensorboard", failed=False)
    assert page(tmp_path) == {}
    assert records(tmp_path) == ["version", "val,best"]


@pytest.mark.parametrize(("failed", "status"), [(False, "SUCCESS"), (True, "FAILURE")])
def test_the_end_is_shown_and_the_first_one_counts(
    tmp_path: Path, failed: bool, status: str
) -> None:
    ended = curves(tmp_path, epochs=range(1, 3))
    ended.end(failed=failed)
    end_session(tmp_path / "trial" / "tensorboard", failed=not failed)
    assert page(tmp_path)["ab12"].status == status
    assert records(tmp_path).count("session_end_info") == 1


def test_ending_without_an_event_file_creates_nothing(tmp_path: Path) -> None:
    end_session(tmp_path / "tensorboard", failed=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_continued_training_has_one_start_and_no_end(tmp_path: Path, cut: int) -> None:
    curves(tmp_path, epochs=range(1, 4)).end(failed=False)
    curves(tmp_path, epochs=range(cut + 1, 5)).close()
    assert page(tmp_path)["ab12"].status == "UNKNOWN"
    assert page(tmp_path)["ab12"].values == SHOWN
    assert records(tmp_path)[:2] == ["version", "session_start_info"]
    assert records(tmp_path)[2:] == ["val,best"] * 4
    directory = tmp_path / "trial" / "tensorboard"
    assert [step for step, _ in points(directory, "acc/val")] == [1, 2, 3, 4]


def test_changed_values_replace_the_old_ones(tmp_path: Path) -> None:
    curves(tmp_path, epochs=range(1, 3)).close()
    curves(tmp_path, epochs=range(3, 4), **{"optimizer.name": "adamw"}).close()
    assert page(tmp_path)["ab12"].values == {**SHOWN, "optimizer.name": "adamw"}
    assert records(tmp_path).count("session_start_info") == 1


def test_a_file_without_a_start_record_gets_one(tmp_path: Path) -> None:
    old = TensorBoardWriter(tmp_path / "trial" / "tensorboard")
    for epoch in (1, 2):
        old.append(row(epoch))
    old.close()
    curves(tmp_path, epochs=range(3, 4)).close()
    assert page(tmp_path)["ab12"].values == SHOWN
    assert records(tmp_path)[:2] == ["version", "session_start_info"]


def test_the_end_is_appended_to_whole_records_only(tmp_path: Path) -> None:
    """The worker was killed while it wrote."""
    curves(tmp_path, epochs=range(1, 3)).close()
    (file,) = tmp_path.rglob("*tfevents*")
    file.write_bytes(file.read_bytes()[:-5])
    end_session(file.parent, failed=True)
    assert page(tmp_path)["ab12"].status == "FAILURE"
    assert page(tmp_path)["ab12"].metrics["acc/val"] == 0.125


def test_values_that_a_scheduler_changes_are_curves(tmp_path: Path) -> None:
    for epoch, lr in ((1, 0.25), (2, 0.5)):
        mutated = {"optimizer.learning_rate": lr, "optimizer.name": "sgd", "amp.enabled": True}
        part = TensorBoardWriter(tmp_path, Session("ab12", VALUES, mutated))
        part.truncate(epoch - 1)
        part.append(row(epoch))
        part.close()
    assert points(tmp_path, "hparams/optimizer.learning_rate") == [(1, 0.25), (2, 0.5)]
    assert {tag for tag in tags(tmp_path) if tag.startswith("hparams/")} == {
        "hparams/optimizer.learning_rate"
    }
