"""`tune.warm_start`: which trials of an earlier sweep count, and their effect on the new one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.warm_start import REMEDY, load_points, read_points, tell_points, write_points
from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, TrialRecord, TrialState
from trainable.artifacts.metrics import MetricsFile
from trainable.errors import ConfigError

LR, NAME, MOMENTUM = "optimizer.learning_rate", "optimizer.name", "optimizer.momentum"
BATCH = "training.batch_size"

SPACE: dict[str, Any] = {
    LR: {"loguniform": [1e-3, 1.0]},
    BATCH: {"choice": [32, 64]},
    NAME: {"choice": ["sgd", "adam"]},
    MOMENTUM: {"uniform": [0.5, 0.9], "when": {NAME: "sgd"}},
}

MakeSpec = Callable[..., SearchSpec]


@pytest.fixture
def make_spec(tiny_data: Callable[..., Any], tmp_path: Path) -> MakeSpec:
    """Makes the spec of a sweep that starts from the one in `tmp_path / "earlier"`."""

    def make(space: dict[str, Any] | None = None, **tune: Any) -> SearchSpec:
        settings = {
            "num_samples": 4,
            "seed": 1,
            "search_alg": {"name": "tpe", "n_startup_trials": 3},
            "warm_start": str(tmp_path / "earlier"),
        }
        data = {"config": tiny_data(), "space": space or SPACE, "tune": {**settings, **tune}}
        return parse_search({"name": "new", **data})

    return make


@pytest.fixture
def new(tmp_path: Path) -> SweepLayout:
    """The new sweep's directory."""
    (tmp_path / "new").mkdir()
    return SweepLayout(tmp_path / "new")


@pytest.fixture
def earlier(tmp_path: Path) -> Callable[..., TrialRecord]:
    """Adds a trial to the earlier sweep: its values, and a score for each epoch."""
    layout = SweepLayout(tmp_path / "earlier")
    layout.directory.mkdir()
    layout.write_sweep(SweepRecord("earlier", "finished", "2024-01-15T14:30:22+00:00"))

    def add(
        values: dict[str, Any], *scores: float, state: TrialState = "finished", **record: Any
    ) -> TrialRecord:
        number = len(layout.read_trials())
        trial = TrialRecord(str(number), number, f"t{number}", values, state=state, **record)
        layout.write_trial(trial)
        history = MetricsFile(layout.directory / trial.directory / "metrics.jsonl")
        for epoch, score in enumerate(scores, 1):
            history.append({"epoch": epoch, "val_acc": score, "val_loss": 1 - score})
        return trial

    return add


def adam(lr: float, batch_size: Any = 32) -> dict[str, Any]:
    return {LR: lr, BATCH: batch_size, NAME: "adam"}


def sgd(lr: float, momentum: float) -> dict[str, Any]:
    return {LR: lr, BATCH: 32, NAME: "sgd", MOMENTUM: momentum}


def record_points(spec: SearchSpec, layout: SweepLayout) -> int:
    """Does what the start of a sweep does; returns the number of points."""
    points = read_points(spec)
    assert points is not None
    write_points(points, layout)
    return len(points)


def recorded(layout: SweepLayout) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = json.loads(layout.warm_start_file.read_text())
    return points


# ---------------------------------------------------------------------------- what counts


def test_ended_trials_are_taken_with_their_best_score(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout
) -> None:
    earlier(adam(0.1), 0.2, 0.7, 0.6)
    earlier(sgd(0.2, 0.8), 0.9, state="stopped")
    assert record_points(make_spec(), new) == 2
    assert recorded(new) == [
        {"values": sgd(0.2, 0.8), "scores": [0.9]},
        {"values": adam(0.1), "scores": [0.7]},
    ]


def test_the_score_is_that_of_the_new_sweeps_metric(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout
) -> None:
    earlier(adam(0.1), 0.25, 0.75, 0.5)
    record_points(make_spec(metric="val_loss"), new)
    assert [point["scores"] for point in recorded(new)] == [[0.25]]


@pytest.mark.parametrize("state", ["pending", "running", "paused", "failed"])
def test_a_trial_that_failed_or_has_not_ended_is_left_out(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout, state: TrialState
) -> None:
    """It may have been good."""
    earlier(adam(0.1), 0.5, state=state)
    assert record_points(make_spec(), new) == 0
    assert recorded(new) == []


def test_a_trial_without_a_finite_score_is_left_out(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout
) -> None:
    earlier(adam(0.1))
    earlier(adam(0.1), float("nan"))
    assert record_points(make_spec(), new) == 0


def test_a_population_counts_with_the_values_it_ended_with(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout
) -> None:
    earlier(adam(0.1), 0.5, changes={LR: 0.12})
    record_points(make_spec(), new)
    assert recorded(new)[0]["values"] == adam(0.12)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (adam(2.0), "above the range"),
        (adam(1e-4), "below the range"),
        (adam(0.1, 128), "none of the choices"),
        (adam(0.1, 32.0), "a float is another choice than a whole number"),
        ({LR: 0.1, BATCH: 32}, "a key is missing"),
        ({**adam(0.1), "optimizer.weight_decay": 0.1}, "a key too many"),
        ({**adam(0.1), MOMENTUM: 0.8}, "a key whose when does not hold"),
        ({LR: 0.1, BATCH: 32, NAME: "sgd"}, "a key is missing whose when holds"),
        ({**adam(0.1), LR: True}, "no number"),
        ({**adam(0.1), LR: "0.1"}, "a text"),
    ],
)
def test_values_that_the_new_space_cannot_produce_are_left_out(
    earlier: Callable[..., TrialRecord],
    make_spec: MakeSpec,
    new: SweepLayout,
    values: dict[str, Any],
    why: str,
) -> None:
    earlier(values, 0.9)
    earlier(sgd(1.0, 0.5), 0.5)  # both ends are inside
    record_points(make_spec(), new)
    assert [point["values"] for point in recorded(new)] == [sgd(1.0, 0.5)], why


def test_a_value_between_two_whole_numbers_fits_no_whole_number(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout
) -> None:
    earlier({BATCH: 32.5}, 0.9)
    earlier({BATCH: 33}, 0.8)
    record_points(make_spec({BATCH: {"randint": [16, 64]}}), new)
    assert recorded(new) == [{"values": {BATCH: 33}, "scores": [0.8]}]


def test_a_directory_without_a_sweep_is_refused(
    make_spec: MakeSpec, new: SweepLayout, tmp_path: Path
) -> None:
    with pytest.raises(SweepError) as caught:
        record_points(make_spec(), new)
    assert str(caught.value) == (
        f"{tmp_path / 'earlier' / 'sweep.json'}: there is no such file; "
        "is this a sweep's directory? (`sweep list` shows them)"
    )
    assert not new.warm_start_file.exists()


@pytest.mark.parametrize("name", ["random", "grid"])
def test_a_search_that_does_not_learn_takes_no_warm_start(make_spec: MakeSpec, name: str) -> None:
    space = {LR: {"choice": [0.1, 0.2, 0.3, 0.4]}}
    with pytest.raises(ConfigError, match=f"{name} learns from no earlier trials; use tpe"):
        make_spec(space, search_alg=name)


# ------------------------------------------------------------------------ effect


def warm_searcher(spec: SearchSpec, layout: SweepLayout) -> Searcher:
    searcher = Searcher(spec)
    tell_points(searcher, load_points(spec, layout))
    return searcher


ONE_KEY = {LR: {"loguniform": [1e-3, 1.0]}}


def test_a_search_starts_where_the_earlier_one_was_good(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout
) -> None:
    """Twelve points, the best at 0.03, are more than the start-up: no draw is random."""
    for number in range(12):
        exponent = -3 + number / 4
        earlier({LR: 10**exponent}, 1 - abs(exponent + 1.5) / 3)
    spec = make_spec(ONE_KEY)
    assert record_points(spec, new) == 12
    warm = warm_searcher(spec, new)
    cold = Searcher(spec)
    firsts = [[s.suggest(n)[LR] for n in range(4)] for s in (warm, cold)]  # type: ignore[index]
    assert firsts[0] != firsts[1]
    assert all(0.003 < value < 0.3 for value in firsts[0])


def test_a_resumed_search_does_not_need_the_earlier_sweep(
    earlier: Callable[..., TrialRecord], make_spec: MakeSpec, new: SweepLayout, tmp_path: Path
) -> None:
    for lr in (0.01, 0.1, 0.2, 0.5):
        earlier({LR: lr}, 1 - lr)
    spec = make_spec(ONE_KEY)
    record_points(spec, new)
    first = warm_searcher(spec, new)
    expected = [first.suggest(n) for n in range(4)]
    shutil.rmtree(tmp_path / "earlier")
    second = warm_searcher(spec, new)
    for number, values in enumerate(expected[:2]):
        assert values is not None
        second.add_running(number, values)
    assert [second.suggest(n) for n in (2, 3)] == expected[2:]


def test_without_a_warm_start_the_searcher_gets_no_points(
    make_spec: MakeSpec, new: SweepLayout
) -> None:
    spec = make_spec(ONE_KEY, warm_start=None)
    assert warm_searcher(spec, new).suggest(0) == Searcher(spec).suggest(0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no such file"),
        ("", "Invalid JSON"),
        ('[{"values": {}, "sco', "Invalid JSON"),
        ('{"values": {}}', "Input should be a valid array"),
        ('[{"values": {}}]', "0: scores: Field required"),
        ('[{"values": {}, "scores": ["x"]}]', "0: scores: 0: Input should be a valid number"),
        ('[{"values": {}, "scores": []}]', "0: not a point of the space"),
        ('[{"values": {"optimizer.learning_rate": "x"}, "scores": [1]}]', "0: not a point"),
        ('[{"values": {"a": 1}, "scores": [1]}]', "0: not a point of the space"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(
    content: str | None, problem: str, make_spec: MakeSpec, new: SweepLayout
) -> None:
    if content is not None:
        new.warm_start_file.write_text(content)
    with pytest.raises(SweepError) as caught:
        load_points(make_spec(ONE_KEY), new)
    assert str(caught.value).startswith(f"{new.warm_start_file}: {problem}")
    assert str(caught.value).endswith(f"; {REMEDY}")
    new.warm_start_file.write_text("[]")
    assert load_points(make_spec(ONE_KEY), new) == []
