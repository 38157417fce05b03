"""Judges `add`, `suggest` and `retry`: what gives a running sweep more trials."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sweeps.results.loaded_sweep import find_trial
from sweeps.search.trial_planner import AddedConfiguration, TrialPlanner
from sweeps.space.membership import explain_outside
from sweeps.spec.schedulers import BOHBHyperBand, HyperBand
from sweeps.spec.search_algorithms import GridSearch
from sweeps.steering.configuration import (
    complete_configuration,
    copy_values,
    needs_other_seed,
)
from sweeps.steering.request import Judgement, Request
from sweeps.steering.start_weights import take_weights
from sweeps.steering.state import SteeringState
from sweeps.steering.view import TRIAL, Resolved, SweepView
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import ID_BYTES
from sweeps.sweep_dir.records import ADDED, StartWeights, TrialRecord

SEED_STEP = 1_000_000
"""Distance between the seeds of added trials with equal values."""

SET, LIKE, FROM, SUGGESTION = "set", "like", "from", "suggestion"
"""Arguments of `add`: dotted key -> value; two trials; and the number of a suggestion."""


def judge_add(request: Request, view: SweepView) -> Resolved:
    """Resolves a configuration that is added by hand.

    Returns:
        `values`, `number` and `trials` as `AddedConfiguration` has them, with `seed_offset` and
        `weights` where they are not the defaults; `outside`: why the searcher is not told its
        results, empty if it is.

    Raises:
        SweepError: The sweep takes no more configurations, or a trial does not fit.
        ConfigError: Its values have problems.
    """
    spec, arguments = view.spec, request.arguments
    _check_arguments(arguments, {SET, LIKE, FROM, SUGGESTION})
    _check_takes_trials(view)
    like = _find(view, arguments.get(LIKE))
    source = _find(view, arguments.get(FROM))
    given = arguments.get(SET) or {}
    if not isinstance(given, Mapping):
        raise SweepError(f"{SET} must have values by key, found {given!r}")
    number = arguments.get(SUGGESTION)
    if number is not None:
        values = _suggested_values(view.state, number, {**given, LIKE: like} if like else given)
    else:
        values = complete_configuration(spec, given, {} if like is None else copy_values(like))
    earlier = added_configurations(view.state)
    position = len(earlier)
    others = [r.values for r in view.records.values()] + [dict(e.values) for e in earlier]
    resolved: Resolved = {
        "values": values,
        "number": ADDED + position if number is None else number,
        "trials": [secrets.token_hex(ID_BYTES) for _ in range(spec.tune.repeats)],
        "outside": list(explain_outside(spec.space, spec.constraints, values)),
    }
    if number is None and needs_other_seed(spec, values, others):
        resolved["seed_offset"] = SEED_STEP * (1 + position)
    if source is not None:
        config = spec.trial_config(values, 0)
        weights = take_weights(view, source, config, resolved["number"])
        resolved["weights"] = asdict(weights)
        resolved["outside"].append(f"it starts from the weights of trial {source.id}")
    resolved[TRIAL] = resolved["trials"][0]
    return resolved


def judge_suggest(request: Request, view: SweepView) -> Resolved:
    """Reserves the searcher's next suggestion.

    Returns:
        `number` and `values`.

    Raises:
        SweepError: There is none.
    """
    _check_arguments(request.arguments, set())
    _check_takes_trials(view)
    if isinstance(view.spec.tune.search_alg, GridSearch):
        raise SweepError("a grid tries every point by itself; add others with their values")
    if view.suggest is None:
        raise SweepError("only a running sweep suggests values; resume it first")
    suggested = view.suggest()
    if suggested is None:
        raise SweepError("no configuration satisfies the constraints of the search file")
    number, values = suggested
    return {"number": number, "values": dict(values)}


def judge_retry(request: Request, view: SweepView) -> Resolved:
    """Resolves the retry of a failed trial.

    Returns:
        `failures`: the number of its failures so far, which then no longer count.

    Raises:
        SweepError: The trial has not failed, or the scheduler cannot take it again.
    """
    record = view.record(request)
    if record.state != "failed":
        raise SweepError(f"trial {record.id} has not failed ({record.state})")
    _check_scheduler(view, "retry it with `sweep retry` once the sweep has been paused")
    return {"failures": len(record.failures)}


def added_configurations(state: SteeringState) -> list[AddedConfiguration]:
    """Returns the configurations that accepted requests have added, in order."""
    return [
        to_configuration(judgement.values)
        for judgement in state.judgements.values()
        if judgement.accepted and judgement.verb == "add"
    ]


def restore_additions(
    planner: TrialPlanner, state: SteeringState, records: Collection[TrialRecord]
) -> None:
    """Gives a new planner what earlier requests have added and reserved.

    Args:
        planner: The planner.
        state: The state after all requests.
        records: Every trial.
    """
    for configuration in added_configurations(state):
        planner.add(configuration, records)
    for number in reserved_suggestions(state):
        planner.note_reserved(number)


def to_configuration(values: Mapping[str, Any]) -> AddedConfiguration:
    """Returns the configuration of an accepted `add`."""
    weights = values.get("weights")
    return AddedConfiguration(
        values["values"],
        values["number"],
        values["trials"],
        values.get("seed_offset", 0),
        None if weights is None else StartWeights(**weights),
    )


def reserved_suggestions(state: SteeringState) -> dict[int, dict[str, Any]]:
    """Returns number -> values of the suggestions that requests have reserved."""
    return {
        judgement.values["number"]: judgement.values["values"]
        for judgement in state.judgements.values()
        if judgement.accepted and judgement.verb == "suggest"
    }


def is_retried(judgement: Judgement, record: TrialRecord) -> bool:
    """Whether an accepted `retry` still has to put a trial back to work."""
    failures = int(judgement.values["failures"])
    return record.state == "failed" and record.ignored_failures < failures


def _check_arguments(arguments: Mapping[str, Any], names: Collection[str]) -> None:
    unknown = arguments.keys() - names
    if unknown:
        raise SweepError(f"unknown arguments: {', '.join(sorted(unknown))}")


def _check_takes_trials(view: SweepView) -> None:
    _check_scheduler(view, "pause the sweep and resume it with more tune.num_samples")
    if any(record.final for record in view.records.values()):
        raise SweepError(
            "the final trials have begun: tune.final has chosen the best configurations"
        )


def _check_scheduler(view: SweepView, remedy: str) -> None:
    scheduler = view.spec.tune.scheduler
    if isinstance(scheduler, HyperBand | BOHBHyperBand):
        raise SweepError(
            f"{scheduler.name} has sized its brackets for the trials of the start; {remedy}"
        )


def _find(view: SweepView, name: Any) -> TrialRecord | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise SweepError(f"expected the id of a trial, found {name!r}")
    return find_trial(view.directory, list(view.records.values()), name)


def _suggested_values(
    state: SteeringState, number: Any, others: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the values of a reserved suggestion that has not been added yet."""
    reserved = reserved_suggestions(state)
    if type(number) is not int or number not in reserved:
        raise SweepError(f"there is no suggestion {number!r} of this sweep")
    if any(added.number == number for added in added_configurations(state)):
        raise SweepError(f"suggestion {number} has been added already")
    if others:
        raise SweepError(
            f"suggestion {number} has all of its values; to change some, add them without it"
        )
    return reserved[number]
