"""Events that are lost are rebuilt from the trials' epochs, in the order of their times."""

from typing import Any

from sweeps.sweep_dir.event_log import Event
from sweeps.sweep_dir.lost_events import list_lost, rebuild
from sweeps.sweep_dir.records import TrialRecord, TrialState


def trial(name: str, state: TrialState, started: str | None, **values: Any) -> TrialRecord:
    return TrialRecord(name, 0, name, {}, state=state, started=started, **values)


def rows(*scores: float) -> list[dict[str, Any]]:
    return [{"epoch": e, "val_acc": score, "epoch_s": 10.0} for e, score in enumerate(scores, 1)]


STARTS = ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:05+00:00")


def test_only_trials_that_have_started_can_have_lost_events() -> None:
    records = [
        trial("new", "pending", None),
        trial("final", "finished", STARTS[0], final=True),
        trial("known", "paused", STARTS[0]),
        trial("lost", "paused", STARTS[0]),
        trial("endless", "finished", STARTS[0]),
    ]
    events = [Event("add", "known"), Event("add", "endless")]
    assert [record.id for record in list_lost(records, events)] == ["lost", "endless"]


def test_results_of_several_trials_have_the_order_of_their_times() -> None:
    records = [trial("a", "finished", STARTS[0]), trial("b", "stopped", STARTS[1])]
    events = rebuild(records, {"a": rows(0.1, 0.2), "b": rows(0.3)}, [], ["val_acc"])
    assert [(e.kind, e.trial, e.epoch, e.decision) for e in events] == [
        ("add", "a", 0, None),
        ("add", "b", 0, None),
        ("result", "a", 1, "CONTINUE"),
        ("result", "b", 1, "STOP"),
        ("complete", "b", 1, None),
        ("complete", "a", 2, None),
    ]
    assert events[2].metrics == {"val_acc": 0.1}


def test_what_the_log_still_has_is_not_added_again() -> None:
    left = [Event("add", "a"), Event("result", "a", 1, {"val_acc": 0.1}, "CONTINUE")]
    records = [trial("a", "finished", STARTS[0])]
    (event,) = rebuild(records, {"a": rows(0.1, 0.2)}, left, ["val_acc"])
    assert (event.kind, event.epoch) == ("complete", 2)
