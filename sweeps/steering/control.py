"""Judges `stop`, `pause`, `resume` and `set`: what controls a running sweep and its trials."""

from __future__ import annotations

from typing import Any

from sweeps.results.commands import read_commands
from sweeps.results.stored_spec import read_search
from sweeps.spec.changes import change_live, read_settings
from sweeps.spec.schedulers import BOHBHyperBand, HyperBand
from sweeps.spec.search_spec import SearchSpec
from sweeps.steering.request import EPOCH, Request
from sweeps.steering.view import Resolved, SweepView
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import BY_HAND, ENDED, TrialRecord
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.formatting import format_duration, format_value

SETTINGS, BEFORE = "settings", "before"
"""Values of an accepted `set`: dotted key -> new value, and the value before."""


def judge_stop(request: Request, view: SweepView) -> Resolved:
    """Accepts the stop of a trial that has not ended.

    Returns:
        `epoch`: the epoch until which it trains; nothing for one that waits.

    Raises:
        SweepError: It has ended, is being stopped, or repeats a winner.
    """
    return _stop_point(view, _find_live(request, view))


def judge_pause(request: Request, view: SweepView) -> Resolved:
    """Accepts that a trial is held.

    Returns:
        `epoch`: the epoch until which it trains; nothing for one that waits.

    Raises:
        SweepError: It has ended, is held already, or nothing could hold it.
    """
    record, tune = _find_live(request, view), view.spec.tune
    if record.id in view.state.held:
        raise SweepError(f"trial {record.id} is paused already")
    if isinstance(tune.scheduler, HyperBand | BOHBHyperBand):
        stop = sweep_command("trial", "stop", view.directory, record.id)
        raise SweepError(
            f"with tune.scheduler: {tune.scheduler.name} the other trials of its bracket would "
            f"wait for trial {record.id}; stop it instead: {stop}"
        )
    if not view.spec.training.checkpoint.enabled:
        raise SweepError(
            f"trial {record.id} saves no checkpoint (checkpoint.enabled: false), so it could not "
            "go on where it is paused"
        )
    return _stop_point(view, record)


def judge_resume(request: Request, view: SweepView) -> Resolved:
    """Accepts that a held trial goes on.

    Raises:
        SweepError: It is not held.
    """
    record = view.record(request)
    if record.state in ENDED:
        raise SweepError(_describe_end(record))
    if record.id not in view.state.held:
        raise SweepError(f"trial {record.id} is not paused by `sweep trial pause`")
    return {}


def _stop_point(view: SweepView, record: TrialRecord) -> Resolved:
    """Returns the epoch after which a trial ends or pauses; nothing if it does so at once."""
    epoch = view.running_epoch(record.id)
    return {} if epoch is None else {EPOCH: epoch}


def _find_live(request: Request, view: SweepView) -> TrialRecord:
    """Returns the record of a trial that can be stopped or held."""
    record = view.record(request)
    if record.state in ENDED:
        raise SweepError(_describe_end(record))
    if record.id in view.state.stopping:
        raise SweepError(f"trial {record.id} is being stopped already")
    if record.final:
        raise SweepError(
            f"trial {record.id} repeats a winner (tune.final), which always trains all its epochs"
        )
    return record


def _describe_end(record: TrialRecord) -> str:
    by = " by hand" if record.stopped_by == BY_HAND else ""
    return f"trial {record.id} has ended already: it is {record.state}{by}"


def judge_set(request: Request, view: SweepView) -> Resolved:
    """Resolves new settings of the sweep.

    Returns:
        `settings`: dotted key -> new value; `before`: the values before.

    Raises:
        SweepError: Nothing would change, or the sweep is past the point where a value matters.
        ConfigError: A key cannot change while the sweep runs, or a value breaks its rule.
    """
    if not request.arguments:
        raise SweepError("set takes KEY=VALUE, found nothing")
    changed = change_live(view.spec, request.arguments, "the request")
    before = read_settings(view.spec, request.arguments)
    settings = read_settings(changed, request.arguments)
    same = {key: value for key, value in settings.items() if value == before[key]}
    if same == settings:
        text = ", ".join(f"{key} is {format_value(value)}" for key, value in same.items())
        raise SweepError(f"{text} already")
    _check_num_samples(view, changed)
    _check_budget(view, changed)
    _check_shared_workers(view, changed)
    return {SETTINGS: settings, BEFORE: before}


def _check_num_samples(view: SweepView, changed: SearchSpec) -> None:
    if changed.tune.num_samples == view.spec.tune.num_samples:
        return
    own = (r for r in view.records.values() if not r.final and not r.added)
    begun = len({record.configuration_id for record in own})
    if changed.tune.num_samples < begun:
        raise SweepError(
            f"tune.num_samples: {begun} configurations have begun, so it is at least {begun}"
        )
    if any(record.final for record in view.records.values()):
        raise SweepError(
            "tune.num_samples: the trials of tune.final have begun, for which the configurations "
            "are ranked already"
        )
    recorded, _ = read_search(view.directory)
    if recorded.tune.num_samples != view.spec.tune.num_samples:
        raise SweepError(
            "tune.num_samples: this run trains some of the trials further (`sweep extend`) and "
            "creates no others"
        )


def _check_budget(view: SweepView, changed: SearchSpec) -> None:
    budget = changed.tune.time_budget
    if budget is None or view.run_s is None or budget > view.run_s:
        return
    raise SweepError(
        f"tune.time_budget: this run has taken {format_duration(view.run_s)} already; to pause "
        f"it: {sweep_command('pause', view.directory)}"
    )


def _check_shared_workers(view: SweepView, changed: SearchSpec) -> None:
    before, after = view.spec.tune.max_concurrent_trials, changed.tune.max_concurrent_trials
    if view.spec.resources.process != "shared" or not view.is_live or before == after:
        return
    if before != "auto" and (after == "auto" or after > before):
        option = ("--set", f"tune.max_concurrent_trials={after}")
        pause = sweep_command("pause", view.directory)
        raise SweepError(
            "tune.max_concurrent_trials: with resources.process: shared the workers are sized at "
            f"the start; it takes effect with a new run: {pause}, "
            f"then {read_commands(view.directory).run_again('resume', *option)}"
        )


def changed_spec(spec: SearchSpec, values: dict[str, Any]) -> SearchSpec:
    """Returns a search file with the settings of an accepted `set`.

    Args:
        spec: The search file.
        values: The `values` of the judgement.
    """
    return change_live(spec, values[SETTINGS], "an accepted request")
