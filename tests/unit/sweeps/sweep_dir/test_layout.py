"""The records of a sweep's directory: written whole, read back equal, refused in one sentence."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from sweeps.sweep_dir.layout import (
    ENDED,
    Failure,
    SweepError,
    SweepLayout,
    SweepRecord,
    TrialRecord,
    TrialState,
    value_at,
)

LR, BATCH = "optimizer.learning_rate", "training.batch_size"
FAILURE = Failure("oom", "CUDA out of memory", "a\ntraceback", 3, "trial/checkpoint_000002", "now")


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path)


@pytest.fixture
def record() -> TrialRecord:
    """A trial with something in each of its fields."""
    return TrialRecord(
        id="a1b2",
        number=3,
        directory="resnet20_digits_20240115_143022_a1b2",
        values={LR: 0.1, BATCH: 64, "optimizer.name": "sgd"},
        state="failed",
        started="2024-01-15T14:30:22+01:00",
        ended="2024-01-15T14:40:22+01:00",
        failures=[FAILURE, dataclasses.replace(FAILURE, cause="nan", checkpoint=None)],
        forgiven=1,
        changes={"training.accumulation_steps": 2},
        lineage=[{"epoch": 2, "donor": "other", "values": {LR: 0.2, BATCH: 64}}],
    )


def refusal(read: Callable[[], object]) -> str:
    """The one line with which a record is refused."""
    with pytest.raises(SweepError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_trial_comes_back_as_it_was_written(layout: SweepLayout, record: TrialRecord) -> None:
    layout.write_trial(record)
    assert layout.read_trials() == [record]
    assert (layout.directory / record.directory / "trial.json").read_text().endswith("}\n")


def test_a_sweep_comes_back_as_it_was_written(layout: SweepLayout) -> None:
    record = SweepRecord(
        "digits_asha", "paused", "then", "now", "time_budget", 12.5, 17, "a-host",
        {"finished": 2, "paused": 1}, {"ray": "2.60.0"},
    )  # fmt: skip
    layout.write_sweep(record)
    assert layout.read_sweep() == record


@pytest.mark.parametrize("state", get_args(TrialState))
def test_every_state_is_read_and_three_of_them_have_ended(
    state: TrialState, layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(dataclasses.replace(record, state=state))
    (found,) = layout.read_trials()
    assert found.state == state
    assert (state in ENDED) == (state in {"finished", "stopped", "failed"})


def test_trials_come_in_order_of_creation(layout: SweepLayout, record: TrialRecord) -> None:
    for number, name in enumerate(["z", "b", "a"]):
        layout.write_trial(dataclasses.replace(record, number=number, directory=name))
    assert [found.directory for found in layout.read_trials()] == ["z", "b", "a"]


def test_an_earlier_records_missing_fields_have_their_defaults(layout: SweepLayout) -> None:
    (layout.directory / "t").mkdir()
    given = {"id": "t", "number": 0, "directory": "t", "values": {}}
    (layout.directory / "t" / "trial.json").write_text(json.dumps(given))
    (found,) = layout.read_trials()
    assert (found.state, found.failures, found.lineage) == ("pending", [], [])


def test_the_values_that_hold_now_are_those_of_the_last_exploit_and_change(
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
def test_what_is_no_record_is_refused_by_its_path(
    content: bytes, message: str, layout: SweepLayout
) -> None:
    path = layout.directory / "t" / "trial.json"
    path.parent.mkdir()
    path.write_bytes(content)
    text = refusal(layout.read_trials)
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
def test_a_field_that_does_not_fit_is_named(
    key: str, value: Any, message: str, layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    path = layout.directory / record.directory / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert message in refusal(layout.read_trials)


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "..", "another", "", "t\x00"])
def test_a_record_of_another_directory_is_refused(
    name: str, layout: SweepLayout, record: TrialRecord
) -> None:
    """What is read is written again: nothing may come to lie outside of the sweep."""
    layout.write_trial(record)
    path = layout.directory / record.directory / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "directory": name}))
    text = refusal(layout.read_trials)
    assert text.endswith(
        f"expected the record of a trial in {record.directory}, found one of {name!r}"
    )


def test_a_directory_that_is_no_sweep_is_refused(layout: SweepLayout) -> None:
    path = layout.directory / "sweep.json"
    assert refusal(layout.read_sweep) == (
        f"{path}: there is no such file; is this a sweep's directory?"
    )
    path.mkdir()
    assert refusal(layout.read_sweep) == f"{path}: cannot be read: Is a directory"


def test_a_new_trial_gets_its_directory_and_no_other_file(
    layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    layout.write_trial(record)
    assert [p.name for p in layout.directory.rglob("*")] == [record.directory, "trial.json"]


def test_tidying_takes_what_a_kill_left_and_nothing_else(
    layout: SweepLayout, record: TrialRecord
) -> None:
    layout.write_trial(record)
    layout.write_sweep(SweepRecord("s", "running", "now"))
    trial = layout.directory / record.directory
    (trial / "metrics.jsonl").write_text("{}\n")
    (trial / "checkpoints").mkdir()
    (layout.directory / "my notes.tmp").write_text("keep")
    kept = set(layout.directory.rglob("*"))
    (layout.directory / ".sweep.json.0123456789ab.tmp").write_text("{")
    (trial / ".trial.json.0123456789ab.tmp").write_text("{")
    unborn = layout.directory / "unborn"
    unborn.mkdir()
    (unborn / ".trial.json.0123456789ab.tmp").write_text("{")
    layout.stop_file.touch()  # asked of a driver that has not lived to hear it
    layout.tidy()
    assert set(layout.directory.rglob("*")) == kept


def test_files_of_the_sweep_as_a_whole_are_those_that_exist(layout: SweepLayout) -> None:
    assert layout.summary_files() == []
    for name in ("trials.csv", "sweep.json", "events.jsonl"):
        (layout.directory / name).touch()
    assert [path.name for path in layout.summary_files()] == ["sweep.json", "trials.csv"]


def test_a_relative_directory_is_made_absolute(working_directory: Path) -> None:
    assert SweepLayout(Path("sweep")).directory == working_directory / "sweep"


def test_a_value_is_found_by_its_dotted_key() -> None:
    config = {"optimizer": {"learning_rate": 0.1}, "flat": 1}
    assert value_at(config, "optimizer.learning_rate") == 0.1
    assert value_at(config, "flat") == 1
    with pytest.raises(KeyError):
        value_at(config, "optimizer.momentum")
