"""The charts of a sweep's report: Optuna's own, of the study rebuilt from its layout.

A chart that cannot be made says why in its place.
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

from sweeps.report.curve_charts import Chart, learning_curves, of_some, some_of, stops
from sweeps.results.aggregate import has_all
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult

SLICES, CONTOURS, COORDINATES = 6, 3, 8
"""Parameters in these charts, the most important ones."""
AXES = (2, 3)
"""Numbers of metrics that a Pareto front is drawn of."""
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


@dataclass(frozen=True)
class Subject:
    """What charts are drawn of."""

    sweep: LoadedSweep
    told: Study
    """With stopped trials as PRUNED."""
    scored: Study
    """With stopped trials among the complete ones."""

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        """Trials with a metric."""
        return self.scored.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    @cached_property
    def some(self) -> Study:
        """The trials with a metric, or some of them where there are many; see `some_of`."""
        sign = -1 if self.sweep.mode == "max" else 1
        ranked = sorted(self.complete, key=lambda trial: sign * float(trial.value or 0))
        study = create_study(direction=self.scored.direction)
        study.add_trials(sorted(some_of(ranked), key=lambda trial: trial.number))
        return study


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings of few trials, which the notes have, and of what is new in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def all_charts(subject: Subject) -> list[Chart]:
    """Every chart, in the order of the report."""
    importances, trouble = importance(subject.scored)
    top = _by_importance(subject, importances)
    metric = subject.sweep.metric
    stopped = "Trials that were stopped early count with their best epoch."
    some = of_some(len(subject.complete))
    found = [
        _of_trials(
            subject,
            "Optimisation history",
            f"Each trial's {metric} at its best epoch, in order of creation. {stopped}",
            lambda: draw.plot_optimization_history(subject.scored, target_name=metric),
        ),
        _importance_chart(subject, importances, trouble),
        _of_trials(
            subject,
            "Parallel coordinates",
            f"One line a trial. {stopped}{some}",
            lambda: draw.plot_parallel_coordinate(
                subject.some, params=top[:COORDINATES], target_name=metric
            ),
            parameters=1,
        ),
        _of_trials(
            subject,
            "Slices",
            f"The {metric} over each of the {min(SLICES, len(top))} most important parameters.",
            lambda: draw.plot_slice(subject.scored, params=top[:SLICES], target_name=metric),
            parameters=1,
        ),
        _of_trials(
            subject,
            "Contours",
            f"The {metric} over pairs of the most important parameters.{some}",
            lambda: _contours(subject, top[:CONTOURS]),
            parameters=2,
            trials=2,
        ),
        learning_curves(subject.sweep),
        stops(subject.sweep),
        _timeline(subject),
    ]
    return [chart for chart in found if chart is not None]


def importance(study: Study) -> tuple[dict[str, float], str]:
    """Parameter -> its share of the importance, the greatest first; or none, and why.

    By PED-ANOVA (Watanabe et al., IJCAI 2023), which takes parameters that only some trials have.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return {}, f"It takes two trials with a result, there are {len(complete)}."
    try:
        with _quiet():
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (RuntimeError, ValueError) as error:
        return {}, f"It cannot be computed of these trials: {error}"
    if not found:
        return {}, "No parameter has more than one value."
    return {key: float(value) for key, value in found.items()}, ""


def _by_importance(subject: Subject, importances: dict[str, float]) -> list[str]:
    """Parameters that complete trials have, the most important first."""
    known = {key for trial in subject.complete for key in trial.params}
    rest = [key for key in subject.sweep.sampled_keys if key in known and key not in importances]
    return [*(key for key in importances if key in known), *rest]


def _of_trials(
    subject: Subject,
    title: str,
    note: str,
    make: Callable[[], go.Figure],
    *,
    parameters: int = 0,
    trials: int = 1,
) -> Chart:
    """A chart of trials with a result, if there are enough of them and of parameters."""
    known = len(_by_importance(subject, {}))
    complete = len(subject.complete)
    if complete < trials:
        return Chart(title, note, missing=_too_few("trial with a result", trials, complete))
    if known < parameters:
        return Chart(title, note, missing=_too_few("parameter", parameters, known))
    with _quiet():
        figure = make()
    figure.update_xaxes(exponentformat="power").update_yaxes(exponentformat="power")
    return Chart(title, note, figure.update_layout(title=None))


def _too_few(what: str, needed: int, found: int) -> str:
    wanted = {1: "one", 2: "two"}[needed]
    head, _, tail = what.partition(" ")
    plural = f"{head}s {tail}".strip() if needed > 1 else what
    return f"It takes {wanted} {plural}, there {'is' if found == 1 else 'are'} {found or 'none'}."


def _contours(subject: Subject, params: list[str]) -> go.Figure:
    metric = subject.sweep.metric
    figure = draw.plot_contour(subject.some, params=params, target_name=metric)
    return figure.update_layout(height=420 if len(params) == 2 else 760)


def _importance_chart(subject: Subject, importances: dict[str, float], trouble: str) -> Chart:
    title = "Importance of the parameters"
    note = (
        f"How much each parameter decides whether a trial is among the best by "
        f"{subject.sweep.metric} (PED-ANOVA); of few trials, or of trials stopped early, it is a "
        "hint and no more."
    )
    if trouble:
        return Chart(title, note, missing=trouble)
    with _quiet():
        figure = draw.plot_param_importances(
            subject.scored,
            evaluator=PedAnovaImportanceEvaluator(),
            target_name=subject.sweep.metric,
        )
    return Chart(title, note, figure.update_layout(title=None, height=160 + 34 * len(importances)))


def _timeline(subject: Subject) -> Chart:
    title = "Timeline"
    note = "When each trial was started and when it ended; PRUNED ones were stopped early."
    if not any(trial.datetime_start for trial in subject.told.trials):
        return Chart(title, note, missing="No trial has started.")
    with _quiet():
        figure = draw.plot_timeline(subject.told)
    return Chart(title, note, figure.update_layout(title=None))


def pareto_chart(sweep: LoadedSweep) -> Chart:
    """Every trial by its metrics, with the front marked.

    Args:
        sweep: Has more than one metric.
    """
    title = "Pareto front"
    names = list(sweep.metrics)
    note = (
        f"No other trial beats one of the front in all of {', '.join(names)}, each read at the "
        f"epoch of the trial's best {sweep.metric}."
    )
    if len(names) not in AXES:
        return Chart(title, note, missing=f"{len(names)} metrics cannot be drawn, only listed.")
    trials = [_frozen(each, names) for each in sweep.results if has_all(each.best or {}, names)]
    if not trials:
        return Chart(title, note, missing="No trial has all of these metrics.")
    study = create_study(directions=[DIRECTIONS[mode] for mode in sweep.metrics.values()])
    study.add_trials(trials)
    with _quiet():
        figure = draw.plot_pareto_front(study, target_names=names)
    return Chart(title, note, figure.update_layout(title=None))


def _frozen(result: TrialResult, names: list[str]) -> FrozenTrial:
    """A trial as the chart shows it; what is stopped or runs has its best epoch so far."""
    best = result.best or {}
    return create_trial(
        state=TrialState.COMPLETE,
        values=[float(best[name]) for name in names],
        user_attrs={"trial": result.record.id, "state": result.record.state},
    )
