"""Records of a sweep: written whole, read back equal, refused in one line."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from sweeps.spec.load import parse_search
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, Failure, SweepRecord, TrialRecord, TrialState

LR, BATCH = "optimizer.learning_rate", "training.batch_size"
FAILURE = Failure("oom", "CUDA out of memory", "a\ntraceback", 3, "trial/checkpoint_000002", "now")


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path)


@pytest.fixture
def record() -> TrialRecord:
    """A trial with a value in each of its fields."""
    return TrialRecord(
        id="a1b2",
        number=3,
        directory="resnet20_digits_20240115_143022_a1b2",
        values={LR: 0.1, BATCH: 64, "optimizer.name": "sgd"},
        state="failed",
        started="2024-01-15T14:30:22+01:00",
        ended="2024-01-15T14:40:22+01:00",
        failures=[FAILURE, dataclasses.replace(FAILURE, cause="nan", checkpoint=None)],
        ignored_failures=1,
        changes={"training.accumulation_steps": 2},
        lineage=[{"epoch": 2, "donor": "other", "values": {LR: 0.2, BATCH: 64}}],
    )


def error_of(read: Callable[[], object]) -> str:
    """Returns the one-line error with which a record is refused."""
    with pytest.raises(SweepError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_trial_record_is_read_as_it_was_written(
    layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    assert layout.read_trials() == [record]
    assert (layout.directory / record.directory / "trial.json").read_text().endswith("}\n")


def test_a_sweep_record_is_read_as_it_was_written(layout: SweepLayout) -> None:
    record = SweepRecord(
        "digits_asha", "paused", "then", "now", "time_budget", 12.5, 17, "a-host",
        trials={"finished": 2, "paused": 1}, versions={"ray": "2.60.0"},
    )  # fmt: skip
    layout.write_sweep(record)
    assert layout.read_sweep() == record


@pytest.mark.parametrize("state", get_args(TrialState))
def test_every_state_is_read_and_three_of_them_have_ended(
    state: TrialState, layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(dataclasses.replace(record, state=state))
    (stored,) = layout.read_trials()
    assert stored.state == state
    assert (state in ENDED) == (state in {"finished", "stopped", "failed"})


def test_fields_that_an_older_record_lacks_have_their_defaults(layout: SweepLayout) -> None:
    (layout.directory / "t").mkdir()
    fields = {"id": "t", "number": 0, "directory": "t", "values": {}}
    (layout.directory / "t" / "trial.json").write_text(json.dumps(fields))
    (stored,) = layout.read_trials()
    assert (stored.state, stored.failures, stored.lineage) == ("pending", [], [])


def test_current_values_include_the_last_exploit_and_change(
    record: TrialRecord,
) -> None:
    assert record.current == {LR: 0.2, BATCH: 64}
    record.changes[BATCH] = 32
    assert record.current == {LR: 0.2, BATCH: 32}
    record.lineage.clear()
    assert record.current == {LR: 0.1, BATCH: 32, "optimizer.name": "sgd"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Invalid JSON"),
        (b'{"id": "a1b2", "numb', "Invalid JSON"),
        (b"\x00\xff\x80", "Invalid JSON"),
        (b"[1, 2]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (b'{"trial_id": "17", "config": {}}', "id: Field required"),
    ],
    ids=["empty", "truncated", "binary", "list", "null", "foreign"],
)
def test_a_file_that_is_not_a_record_is_refused_by_its_path(
    content: bytes, message: str, layout: SweepLayout
) -> None:
    path = layout.directory / "t" / "trial.json"
    path.parent.mkdir()
    path.write_bytes(content)
    text = error_of(layout.read_trials)
    assert text.startswith(f"{path}: not a record of this version: {message}")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("state", "exploded", "state: Input should be 'pending', 'running'"),
        ("number", "3", "number: Input should be a valid integer"),
        ("values", [1], "values: Input should be an object"),
        ("failures", [{"cause": "oom"}], "failures.0.message: Field required"),
        ("failures", "none", "failures: Input should be a valid array"),
        ("mood", "good", "mood: Unexpected keyword argument"),
    ],
)
def test_the_error_names_the_field_that_does_not_fit(
    key: str, value: Any, message: str, layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    path = layout.directory / record.directory / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert message in error_of(layout.read_trials)


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "..", "another", "", "t\x00"])
def test_a_record_of_another_directory_is_refused(
    name: str, layout: SweepLayout, record: TrialRecord
) -> None:
    """Records are written again after they are read; no file may be written outside the sweep."""
    layout.write_trial(record)
    path = layout.directory / record.directory / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "directory": name}))
    text = error_of(layout.read_trials)
    assert f"expected the record of a trial in {record.directory}, found one of {name!r}" in text
    assert "restore the file from a copy" in text


def test_a_directory_without_a_sweep_is_refused(layout: SweepLayout) -> None:
    path = layout.directory / "sweep.json"
    assert error_of(layout.read_sweep) == (
        f"{path}: there is no such file; is this a sweep's directory? (`sweep list` shows them)"
    )
    path.mkdir()
    assert error_of(layout.read_sweep) == f"{path}: cannot be read: Is a directory"


def test_ignored_failures_keep_their_key_on_disk(layout: SweepLayout, record: TrialRecord) -> None:
    layout.write_trial(record)
    stored = json.loads((layout.directory / record.directory / "trial.json").read_text())
    assert stored["forgiven"] == 1
    assert "ignored_failures" not in stored


def test_a_trials_config_has_its_current_values_then_the_changes(record: TrialRecord) -> None:
    spec = parse_search(
        {
            "config": {
                "dataset": {"name": "digits"},
                "model": {"name": "resnet20"},
                "training": {"epochs": 5},
                "optimizer": {"name": "adam", "learning_rate": 0.5},
            },
            "space": {LR: {"uniform": [0.1, 1]}, BATCH: {"choice": [32, 64]}},
            "tune": {"num_samples": 4},
        }
    )
    config = record.config(spec)
    assert config.optimizer.learning_rate == 0.2  # by its last exploit
    assert (config.training.batch_size, config.training.accumulation_steps) == (64, 2)
    assert record.config(spec, {"training.epochs": 9}).training.epochs == 9
    repeated = dataclasses.replace(record, repeat=2)
    assert repeated.config(spec).seed.value == config.seed.value + 2
