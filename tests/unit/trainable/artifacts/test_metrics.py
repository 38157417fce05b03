"""The rows of a training: appended, read back and truncated at an epoch."""

from pathlib import Path

from trainable.artifacts.metrics import MetricsFile, read_rows


def row(epoch: int, **metrics: float | None) -> dict:
    return {"epoch": epoch, "val_acc": epoch / 10, **metrics}


def test_rows_are_read_back_as_they_were(tmp_path: Path) -> None:
    history = MetricsFile(tmp_path / "metrics.jsonl")
    rows = [row(1, test_acc=None), row(2, test_acc=0.1 + 0.2)]
    for entry in rows:
        history.append(entry)
    assert read_rows(tmp_path / "metrics.jsonl") == rows


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_rows(path) == []
    MetricsFile(path).truncate(3)
    assert not path.exists()


def test_a_partial_last_line_is_ignored_and_then_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    history = MetricsFile(path)
    history.append(row(1))
    history.append(row(2))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n")
        assert [entry["epoch"] for entry in read_rows(path)] == [1, 2][:complete]
        history.truncate(9)
        history.append(row(3))
        assert [entry["epoch"] for entry in read_rows(path)] == [*[1, 2][:complete], 3]


def test_later_epochs_are_removed_and_each_epoch_occurs_once(tmp_path: Path) -> None:
    history = MetricsFile(tmp_path / "metrics.jsonl")
    for epoch in (1, 2, 3, 4):
        history.append(row(epoch))
    history.truncate(2)
    for epoch in (3, 4):
        history.append(row(epoch, again=1.0))
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert rows == [row(1), row(2), row(3, again=1.0), row(4, again=1.0)]


def test_a_truncation_at_the_start_removes_everything(tmp_path: Path) -> None:
    history = MetricsFile(tmp_path / "metrics.jsonl")
    history.append(row(1))
    history.truncate(0)
    assert read_rows(tmp_path / "metrics.jsonl") == []


def test_values_that_are_not_numbers_survive(tmp_path: Path) -> None:
    history = MetricsFile(tmp_path / "metrics.jsonl")
    history.append(row(1, train_loss=float("nan"), val_loss=float("inf")))
    history.truncate(1)
    (found,) = read_rows(tmp_path / "metrics.jsonl")
    assert found["train_loss"] != found["train_loss"]
    assert found["val_loss"] == float("inf")
