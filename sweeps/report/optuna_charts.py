"""Optuna's charts of a sweep, drawn from the study that is rebuilt from its files.

A chart that cannot be drawn is replaced by the reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import optuna.visualization as draw
import plotly.graph_objects as go
from optuna import Study, create_study
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.report.curve_charts import (
    Chart,
    learning_curves,
    stopped_trials,
    subsample,
    subsample_note,
)
from sweeps.results.aggregate import has_all
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult

MAX_SLICES, MAX_CONTOURS, MAX_COORDINATES = 6, 3, 8
"""Parameters that these charts show, the most important ones."""
PARETO_METRICS = (2, 3)
"""Numbers of metrics for which a Pareto front can be drawn."""
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


@dataclass(frozen=True)
class ChartData:
    """The data that charts are drawn from."""

    sweep: LoadedSweep
    study: Study
    """The study in which stopped trials are PRUNED."""
    scored: Study
    """The study in which stopped trials are COMPLETE."""

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        """Trials with a value."""
        return self.scored.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    @cached_property
    def subsampled(self) -> Study:
        """The trials with a value, or a subsample if there are many."""
        sign = -1 if self.sweep.mode == "max" else 1
        ranked = sorted(self.complete, key=lambda trial: sign * float(trial.value or 0))
        study = create_study(direction=self.scored.direction)
        study.add_trials(sorted(subsample(ranked), key=lambda trial: trial.number))
        return study


@contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Suppresses Optuna's warnings about few trials and about experimental functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def all_charts(data: ChartData) -> list[Chart]:
    """Returns every chart of the report in order, except the Pareto front."""
    importances, problem = importance(data.scored)
    top = _by_importance(data, importances)
    metric = data.sweep.metric
    stopped = "Trials that were stopped early count with their best epoch."
    sample_note = subsample_note(len(data.complete))
    return [
        _trial_chart(
            data,
            "Optimization history",
            f"Each trial's {metric} at its best epoch, in order of creation. {stopped}",
            lambda: draw.plot_optimization_history(data.scored, target_name=metric),
        ),
        _draw_importance(data, importances, problem),
        _trial_chart(
            data,
            "Parallel coordinates",
            f"One line per trial. {stopped}{sample_note}",
            lambda: draw.plot_parallel_coordinate(
                data.subsampled, params=top[:MAX_COORDINATES], target_name=metric
            ),
            parameters=1,
        ),
        _trial_chart(
            data,
            "Slices",
            f"{metric} against each of the {min(MAX_SLICES, len(top))} most important parameters.",
            lambda: draw.plot_slice(data.scored, params=top[:MAX_SLICES], target_name=metric),
            parameters=1,
        ),
        _trial_chart(
            data,
            "Contours",
            f"{metric} against pairs of the most important parameters.{sample_note}",
            lambda: _draw_contours(data, top[:MAX_CONTOURS]),
            parameters=2,
            trials=2,
        ),
        learning_curves(data.sweep),
        stopped_trials(data.sweep),
        _draw_timeline(data),
    ]


def importance(study: Study) -> tuple[dict[str, float], str]:
    """Computes the importance of every parameter with PED-ANOVA.

    PED-ANOVA (Watanabe et al., IJCAI 2023) supports parameters that only some trials have.

    Returns:
        (importances, problem): parameter -> share of the importance in descending order, and the
        reason if there is none.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return {}, f"This needs at least two trials with a result; there are {len(complete)}."
    try:
        with _ignore_warnings():
            importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (RuntimeError, ValueError) as error:
        return {}, f"It cannot be computed from these trials: {error}"
    if not importances:
        return {}, "No parameter has more than one value."
    return {key: float(value) for key, value in importances.items()}, ""


def _by_importance(data: ChartData, importances: dict[str, float]) -> list[str]:
    """Returns the parameters of COMPLETE trials, the most important first."""
    used = {key for trial in data.complete for key in trial.params}
    rest = [key for key in data.sweep.sampled_keys if key in used and key not in importances]
    return [*(key for key in importances if key in used), *rest]


def _trial_chart(
    data: ChartData,
    title: str,
    note: str,
    draw_figure: Callable[[], go.Figure],
    *,
    parameters: int = 0,
    trials: int = 1,
) -> Chart:
    """Draws a chart if there are at least so many parameters and trials with a result."""
    parameter_count = len(_by_importance(data, {}))
    complete = len(data.complete)
    if complete < trials:
        return Chart(title, note, missing=_too_few("trial with a result", trials, complete))
    if parameter_count < parameters:
        reason = _too_few("parameter", parameters, parameter_count)
        return Chart(title, note, missing=reason)
    with _ignore_warnings():
        figure = draw_figure()
    figure.update_xaxes(exponentformat="power").update_yaxes(exponentformat="power")
    return Chart(title, note, figure.update_layout(title=None))


def _too_few(noun: str, needed: int, count: int) -> str:
    number = {1: "one", 2: "two"}[needed]
    head, _, tail = noun.partition(" ")
    plural = f"{head}s {tail}".strip() if needed > 1 else noun
    verb = "is" if count == 1 else "are"
    return f"This needs at least {number} {plural}; there {verb} {count or 'none'}."


def _draw_contours(data: ChartData, params: list[str]) -> go.Figure:
    metric = data.sweep.metric
    figure = draw.plot_contour(data.subsampled, params=params, target_name=metric)
    return figure.update_layout(height=420 if len(params) == 2 else 760)


def _draw_importance(data: ChartData, importances: dict[str, float], problem: str) -> Chart:
    title = "Parameter importance"
    note = (
        f"How much each parameter decides whether a trial is among the best by "
        f"{data.sweep.metric} (PED-ANOVA). With few trials, or with trials stopped early, this "
        "is only a hint."
    )
    if problem:
        return Chart(title, note, missing=problem)
    with _ignore_warnings():
        figure = draw.plot_param_importances(
            data.scored,
            evaluator=PedAnovaImportanceEvaluator(),
            target_name=data.sweep.metric,
        )
    return Chart(title, note, figure.update_layout(title=None, height=160 + 34 * len(importances)))


def _draw_timeline(data: ChartData) -> Chart:
    title = "Timeline"
    note = "Start and end of each trial; PRUNED trials were stopped early."
    if not any(trial.datetime_start for trial in data.study.trials):
        return Chart(title, note, missing="No trial has started.")
    with _ignore_warnings():
        figure = draw.plot_timeline(data.study)
    return Chart(title, note, figure.update_layout(title=None))


def pareto_chart(sweep: LoadedSweep) -> Chart:
    """Draws every trial by its metrics and marks the Pareto front.

    Args:
        sweep: A sweep with more than one metric.
    """
    title = "Pareto front"
    names = list(sweep.metrics)
    note = (
        f"No other trial is better than one of the front in all of {', '.join(names)}. All are "
        f"read at the epoch of the trial's best {sweep.metric}."
    )
    if len(names) not in PARETO_METRICS:
        return Chart(title, note, missing=f"{len(names)} metrics are only listed, not drawn.")
    trials = [
        _freeze(result, names) for result in sweep.results if has_all(result.own_best or {}, names)
    ]
    if not trials:
        return Chart(title, note, missing="No trial has all of these metrics.")
    study = create_study(directions=[DIRECTIONS[mode] for mode in sweep.metrics.values()])
    study.add_trials(trials)
    with _ignore_warnings():
        figure = draw.plot_pareto_front(study, target_names=names)
    return Chart(title, note, figure.update_layout(title=None))


def _freeze(result: TrialResult, names: list[str]) -> FrozenTrial:
    """Returns a trial with the metrics of its best epoch so far, as COMPLETE in any state."""
    best = result.own_best or {}
    return create_trial(
        state=TrialState.COMPLETE,
        values=[float(best[name]) for name in names],
        user_attrs={"trial": result.record.id, "state": result.record.state},
    )
