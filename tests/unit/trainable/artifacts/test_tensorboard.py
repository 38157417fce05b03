"""Event files as TensorBoard reads them: every epoch once, also after a truncation."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainable.artifacts.tensorboard import TAGS, TensorBoardWriter


def row(epoch: int, **metrics: float | None) -> dict:
    return {"epoch": epoch, "val_acc": epoch / 10, "test_acc": None, "device": "cpu", **metrics}


def read(directory: Path, tag: str = "acc/val") -> list[tuple[int, float]]:
    """Returns step and value of every point, as TensorBoard reads them."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    if tag not in events.Tags()["scalars"]:
        return []
    return [(point.step, round(point.value, 5)) for point in events.Scalars(tag)]


def test_every_epoch_is_a_point_at_its_own_step(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path / "tensorboard")
    for epoch in (1, 2, 3):
        curves.append(row(epoch))
    curves.close()
    assert read(tmp_path / "tensorboard") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert file.name.startswith("events.out.tfevents.")


def test_what_was_not_measured_has_no_point(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    curves.append(row(1))
    curves.append(row(2, test_acc=0.5))
    curves.close()
    assert read(tmp_path, "acc/test") == [(2, 0.5)]


def test_every_metric_has_a_curve(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    curves.append({"epoch": 1, **dict.fromkeys(TAGS, 0.25)})
    curves.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(TAGS.values())


def test_an_epoch_can_be_read_while_the_training_continues(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    curves.append(row(1))
    assert read(tmp_path) == [(1, 0.1)]
    curves.append(row(2))
    assert read(tmp_path) == [(1, 0.1), (2, 0.2)]
    curves.close()


def test_nothing_is_created_before_the_first_row(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path / "tensorboard")
    curves.truncate(0)
    curves.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_every_epoch_occurs_once_after_a_truncation_and_a_continuation(
    tmp_path: Path, cut: int
) -> None:
    first = TensorBoardWriter(tmp_path)
    for epoch in (1, 2, 3):
        first.append(row(epoch))
    first.close()
    second = TensorBoardWriter(tmp_path)
    second.truncate(cut)
    for epoch in range(cut + 1, 5):
        second.append(row(epoch, val_acc=0.9))
    second.close()
    expected = [(epoch, epoch / 10 if epoch <= cut else 0.9) for epoch in (1, 2, 3, 4)]
    assert read(tmp_path) == expected


def test_a_truncation_in_the_same_process_closes_the_file_it_rewrites(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    for epoch in (1, 2, 3):
        curves.append(row(epoch))
    curves.truncate(1)
    curves.append(row(2, val_acc=0.9))
    curves.close()
    assert read(tmp_path) == [(1, 0.1), (2, 0.9)]


def test_repeated_truncations_of_several_files_leave_every_epoch_once(tmp_path: Path) -> None:
    for cut in (0, 2, 1, 3):
        curves = TensorBoardWriter(tmp_path)
        curves.truncate(cut)
        for epoch in range(cut + 1, 5):
            curves.append(row(epoch))
        curves.close()
    assert sorted(read(tmp_path)) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


def test_a_partial_record_is_ignored(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    for epoch in (1, 2):
        curves.append(row(epoch))
    curves.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    resumed = TensorBoardWriter(tmp_path)
    resumed.truncate(1)
    resumed.append(row(2, val_acc=0.9))
    resumed.close()
    assert read(tmp_path) == [(1, 0.1), (2, 0.9)]


def test_leftovers_of_a_killed_truncation_are_removed(
    tmp_path: Path,
) -> None:
    curves = TensorBoardWriter(tmp_path)
    for epoch in (1, 2):
        curves.append(row(epoch, val_acc=0.9))
    curves.close()
    (file,) = tmp_path.iterdir()
    (tmp_path / f".{file.name}.0123456789ab.tmp").write_bytes(file.read_bytes())
    resumed = TensorBoardWriter(tmp_path)
    resumed.truncate(1)
    resumed.append(row(2))
    resumed.close()
    assert read(tmp_path) == [(1, 0.9), (2, 0.2)]


def test_a_truncated_file_gets_a_new_name(
    tmp_path: Path,
) -> None:
    curves = TensorBoardWriter(tmp_path)
    names = []
    for cut in (0, 0, 0):
        curves.truncate(cut)
        curves.append(row(1))
        names.append([path.name for path in tmp_path.iterdir()])
    curves.close()
    assert all(len(file_names) == 1 for file_names in names)
    assert names[0] < names[1] < names[2]


def test_a_file_that_loses_nothing_stays_as_it_is(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    curves.append(row(1))
    (file,) = tmp_path.iterdir()
    before = file.stat().st_ino, file.read_bytes()
    with file.open("ab") as half:
        half.write(b"half a record")
    curves.truncate(1)
    assert (file.stat().st_ino, file.read_bytes()) == before


def test_a_kill_between_a_new_file_and_the_end_of_the_old_one_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = TensorBoardWriter(tmp_path)
    for epoch in (1, 2, 3):
        curves.append(row(epoch))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path, **_: None)
        curves.truncate(2)
    assert len(list(tmp_path.glob("events.*"))) == 2
    resumed = TensorBoardWriter(tmp_path)
    resumed.truncate(2)
    resumed.append(row(3, val_acc=0.9))
    resumed.close()
    assert read(tmp_path) == [(1, 0.1), (2, 0.2), (3, 0.9)]


def test_the_metrics_of_a_config_are_curves_of_both_splits(tmp_path: Path) -> None:
    curves = TensorBoardWriter(tmp_path)
    curves.append(row(1, val_f1_macro=0.25, test_f1_macro=None))
    curves.append(row(2, val_f1_macro=0.5, test_f1_macro=0.75))
    curves.close()
    assert read(tmp_path, "f1_macro/val") == [(1, 0.25), (2, 0.5)]
    assert read(tmp_path, "f1_macro/test") == [(2, 0.75)]
