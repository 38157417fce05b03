"""Which trial comes next, and what the searcher learns of repeated configurations."""

import math

import pytest

from sweeps.results.aggregate import configurations, pareto_front
from sweeps.results.trial_results import TrialResult
from sweeps.search.trial_planner import TrialPlanner
from sweeps.spec.load import parse_search
from sweeps.sweep_dir.records import TrialRecord

LR = "optimizer.learning_rate"


def spec_of(**tune):
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    tune = {"num_samples": 3, "seed": 1, **tune}
    return parse_search({"config": config, "space": {LR: {"uniform": [0.001, 1]}}, "tune": tune})


class RecordingSearcher:
    """A searcher that records its calls."""

    def __init__(self, ends_at=math.inf):
        self.calls, self.reports, self.ends_at = [], [], ends_at

    def suggest(self, number):
        return {LR: number / 10} if number < self.ends_at else None

    def add_running(self, number, values):
        self.calls.append((number, "running"))

    def report(self, number, epoch, value):
        self.reports.append((number, epoch, value))

    def tell(self, number, values, scores):
        self.calls.append((number, scores))


class Sweep:
    """Trials as `TrialPlanner` plans them, with their scores by number."""

    def __init__(self, scores, searcher=None, **tune):
        self.scores, self.records = scores, []
        self.searcher = searcher or RecordingSearcher()
        self.planner = TrialPlanner(
            spec_of(**tune), self.searcher, lambda r: self.scores[r.number]
        )

    def next(self):
        planned = self.planner.next_trial(self.records)
        if planned is None:
            return None
        number = len(self.records)
        record = TrialRecord(f"t{number}", number, f"t{number}", dict(planned.values))
        record.configuration, record.repeat = planned.configuration, planned.repeat
        record.final = planned.final
        self.records.append(record)
        return record

    def end(self, record, state="finished"):
        self.planner.on_trial_end(record, self.records, failed=state == "failed")
        record.state = state


def test_without_copies_a_trial_is_its_own_configuration():
    sweep = Sweep([[0.1], [0.2], [0.3]])
    records = [sweep.next() for _ in range(3)]
    assert [(r.configuration_id, r.repeat, r.configuration) for r in records] == [
        (0, 0, None),
        (1, 0, None),
        (2, 0, None),
    ]
    assert sweep.next() is None
    assert sweep.planner.is_complete(sweep.records)
    for record in records:
        sweep.end(record)
    assert sweep.searcher.calls == [(0, [0.1]), (1, [0.2]), (2, [0.3])]


def test_copies_come_together_and_are_told_as_their_mean_when_the_last_has_ended():
    sweep = Sweep([[0.1], [0.4], None, [0.9], [0.2], [0.6]], repeats=2)
    records = [sweep.next() for _ in range(6)]
    assert [(r.configuration_id, r.repeat) for r in records] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]
    assert records[0].values == records[1].values != records[2].values
    sweep.end(records[1])
    assert sweep.searcher.calls == []
    sweep.end(records[0])
    sweep.end(records[2], "failed")
    sweep.end(records[3])
    assert sweep.searcher.calls == [(0, [0.25]), (1, [0.9])]


def test_a_configuration_all_of_whose_trials_failed_is_told_as_failed():
    sweep = Sweep([None, None], repeats=2, num_samples=1)
    for record in [sweep.next(), sweep.next()]:
        sweep.end(record, "failed")
    assert sweep.searcher.calls == [(0, None)]


def test_an_epoch_with_a_loss_that_is_not_finite_is_not_reported():
    sweep = Sweep([[0.1]])
    record = sweep.next()
    sweep.planner.on_epoch(record, {"epoch": 1, "val_acc": 0.2, "val_loss": 1.5})
    sweep.planner.on_epoch(record, {"epoch": 2, "val_acc": 0.9, "val_loss": math.nan})
    assert sweep.searcher.reports == [(0, 1, 0.2)]


def test_finals_begin_when_all_have_ended_and_take_the_best_under_new_seeds():
    sweep = Sweep([[0.1], [0.9], [0.5], *[[0.7]] * 4], final={"top": 2, "repeats": 2})
    records = [sweep.next() for _ in range(3)]
    sweep.end(records[0])
    assert sweep.next() is None
    assert not sweep.planner.is_complete(sweep.records)
    for record in records[1:]:
        sweep.end(record)
    finals = [sweep.next() for _ in range(4)]
    assert [(r.configuration_id, r.repeat, r.final) for r in finals] == [
        (1, 1, True),
        (1, 2, True),
        (2, 1, True),
        (2, 2, True),
    ]
    assert finals[0].values == records[1].values
    calls = list(sweep.searcher.calls)
    for record in finals:
        sweep.end(record)
    assert sweep.next() is None
    assert sweep.planner.is_complete(sweep.records)
    assert sweep.searcher.calls == calls, "the search is over"


def test_winners_stay_when_finals_have_begun():
    sweep = Sweep([[0.1], [0.9], [0.5], [0.7]], final={"top": 1, "repeats": 2})
    for record in [sweep.next(), sweep.next(), sweep.next()]:
        sweep.end(record)
    assert sweep.next().configuration_id == 1
    sweep.scores[1] = [0.0]
    assert sweep.next().configuration_id == 1
    assert sweep.next() is None


def test_a_grid_that_ends_early_is_complete_and_followed_by_its_finals():
    sweep = Sweep(
        [[0.1], [0.9], [0.5]], RecordingSearcher(ends_at=2), final={"top": 1, "repeats": 1}
    )
    for record in [sweep.next(), sweep.next()]:
        assert not record.final
        sweep.end(record)
    last = sweep.next()
    assert (last.configuration_id, last.final) == (1, True)
    assert sweep.next() is None


@pytest.mark.parametrize(("metric", "best"), [("val_acc", 1), ("val_loss", 0)])
def test_the_best_are_the_best_of_the_metrics_mode(metric, best):
    final = {"top": 1, "repeats": 1}
    sweep = Sweep([[0.1], [0.9], [0.5], [0.0]], metric=metric, final=final)
    for record in [sweep.next(), sweep.next(), sweep.next()]:
        sweep.end(record)
    assert sweep.next().configuration_id == best


def test_a_resumed_sweep_tells_the_same_as_the_interrupted_one():
    sweep = Sweep([[0.1], [0.4], [0.2], [0.9], [0.3]], repeats=2)
    records = [sweep.next() for _ in range(5)]
    for record in records[:3]:
        sweep.end(record)
    again = RecordingSearcher()
    planner = TrialPlanner(spec_of(repeats=2), again, lambda r: sweep.scores[r.number])
    planner.add_recorded(sweep.records, lambda record: [])
    assert [call for call in again.calls if call[1] != "running"] == sweep.searcher.calls
    assert {call[0] for call in again.calls} == {0, 1, 2}


def result(number, group=None, *, final=False, **row):
    record = TrialRecord(f"t{number}", number, f"t{number}", {LR: 0.1}, state="finished")
    record.configuration, record.final = group, final
    return TrialResult(record, None, [row], {"epoch": 1, **row} if row else None)


def test_a_configuration_is_judged_by_its_final_trials_where_there_are_any():
    results = [
        result(3, 0, final=True, val_acc=0.8),
        result(4, 0, final=True, val_acc=0.6),
        result(0, 0, val_acc=0.99),
        result(1, 1, val_acc=0.5),
        result(2, 2),
    ]
    first, second = configurations(results, "val_acc")
    assert (first.number, first.mean, first.final) == (0, pytest.approx(0.7), True)
    assert first.sd == pytest.approx(0.1414, abs=1e-4)
    assert (second.number, second.mean, second.sd, second.final) == (1, 0.5, None, False)


def test_the_front_has_what_no_other_trial_beats_in_everything():
    results = [
        result(0, val_acc=0.9, epoch_s=9.0),
        result(1, val_acc=0.8, epoch_s=2.0),
        result(2, val_acc=0.8, epoch_s=3.0),
        result(3, val_acc=0.95, epoch_s=9.5),
        result(4, val_acc=0.7, epoch_s=1.0),
        result(5),
        result(6, val_acc=0.99),
    ]
    front = pareto_front(results, {"val_acc": "max", "epoch_s": "min"})
    assert [result.record.number for result in front] == [0, 1, 3, 4]
