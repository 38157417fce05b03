"""The charts of a sweep's report: Optuna's own, of the study rebuilt from its layout.

A chart that cannot be made says why in its place.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import optuna.visualization as draw
import plotly.graph_objects as go
from optuna import Study, create_study
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from sweeps.loading import LoadedSweep
from sweeps.results import TrialResult
from trainable.history import read_rows

SLICES, CONTOURS, COORDINATES = 6, 3, 8
"""Parameters in these charts, the most important ones."""
MANY = 200
"""Trials above which only some have their learning curve drawn, or count for the contours, whose
size grows with the square of the number."""
COLOURS = {
    "finished": "#1f77b4",
    "stopped": "#ff9f40",
    "failed": "#d62728",
    "running": "#2ca02c",
    "paused": "#7f7f7f",
    "pending": "#c7c7c7",
}


@dataclass(frozen=True)
class Chart:
    """One chart, or why there is none."""

    title: str
    note: str
    figure: go.Figure | None = None
    missing: str = ""


@dataclass(frozen=True)
class Subject:
    """What charts are drawn of."""

    sweep: LoadedSweep
    told: Study
    """With stopped trials as PRUNED."""
    scored: Study
    """With stopped trials among the complete ones."""

    @property
    def complete(self) -> int:
        """Trials with a metric."""
        return sum(trial.state == TrialState.COMPLETE for trial in self.scored.trials)


def all_charts(subject: Subject) -> list[Chart]:
    """Every chart, in the order of the report."""
    importances, trouble = importance(subject.scored)
    top = _by_importance(subject, importances)
    metric = subject.sweep.metric
    stopped = "Trials that were stopped early count with their best epoch."
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
            f"One line a trial; drag along an axis to choose. {stopped}",
            lambda: draw.plot_parallel_coordinate(
                subject.scored, params=top[:COORDINATES], target_name=metric
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
            f"The {metric} over pairs of the most important parameters"
            + (f", from {MANY} of the trials." if subject.complete > MANY else "."),
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (RuntimeError, ValueError) as error:
        return {}, f"It cannot be computed of these trials: {error}"
    if not found:
        return {}, "No parameter has more than one value."
    return {key: float(value) for key, value in found.items()}, ""


def _by_importance(subject: Subject, importances: dict[str, float]) -> list[str]:
    """Parameters that complete trials have, the most important first."""
    trials = [trial for trial in subject.scored.trials if trial.state == TrialState.COMPLETE]
    known = {key for trial in trials for key in trial.params}
    rest = [key for key in subject.sweep.keys if key in known and key not in importances]
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
    if subject.complete < trials:
        return Chart(
            title, note, missing=_too_few("trial with a result", trials, subject.complete)
        )
    if known < parameters:
        return Chart(title, note, missing=_too_few("parameter", parameters, known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = make()
    return Chart(title, note, figure.update_layout(title=None))


def _too_few(what: str, needed: int, found: int) -> str:
    wanted = {1: "one", 2: "two"}[needed]
    head, _, tail = what.partition(" ")
    plural = f"{head}s {tail}".strip() if needed > 1 else what
    return f"It takes {wanted} {plural}, there {'is' if found == 1 else 'are'} {found or 'none'}."


def _contours(subject: Subject, params: list[str]) -> go.Figure:
    study, metric = subject.scored, subject.sweep.metric
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) > MANY:
        study = create_study(direction=study.direction)
        study.add_trials([complete[len(complete) * index // MANY] for index in range(MANY)])
    figure = draw.plot_contour(study, params=params, target_name=metric)
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = draw.plot_param_importances(
            subject.scored,
            evaluator=PedAnovaImportanceEvaluator(),
            target_name=subject.sweep.metric,
        )
    return Chart(title, note, figure.update_layout(title=None, height=160 + 34 * len(importances)))


# ------------------------------------------------------------------- the course of the trials


def learning_curves(sweep: LoadedSweep) -> Chart:
    """The metric by epoch of every trial, or of the best and an even choice of the others."""
    title = "Learning curves"
    drawable = [result for result in sweep.results if result.best is not None]
    if not drawable:
        return Chart(title, "", missing="No trial has completed an epoch.")
    chosen = drawable
    note = f"{sweep.metric} by epoch, coloured by how the trial ended; the best one is black."
    if len(drawable) > MANY:
        half = MANY // 2
        rest = drawable[half:]
        chosen = drawable[:half] + [rest[len(rest) * index // half] for index in range(half)]
        note += f" {len(chosen)} of {len(drawable)} trials: the best {half}, of the others some."
    figure = go.Figure()
    named: set[str] = set()
    for result in reversed(chosen):
        is_best = result is drawable[0]
        figure.add_trace(_curve(result, sweep.metric, named, is_best=is_best))
    marks = rungs(sweep)
    if marks:
        note += " Dotted lines: the epochs at which the scheduler decides."
    for epoch in marks:
        figure.add_vline(x=epoch, line_dash="dot", line_color="#555", line_width=1)
    figure.update_xaxes(title="epoch").update_yaxes(title=sweep.metric)
    return Chart(title, note, figure.update_layout(height=520, hovermode="closest"))


def _curve(result: TrialResult, metric: str, named: set[str], *, is_best: bool) -> go.Scatter:
    state = "best" if is_best else result.record.state
    first = state not in named
    named.add(state)
    return go.Scatter(
        x=[row["epoch"] for row in result.rows],
        y=[row.get(metric) for row in result.rows],
        mode="lines+markers" if is_best or len(result.rows) == 1 else "lines",
        name=state,
        legendgroup=state,
        showlegend=first,
        opacity=1.0 if is_best else 0.55,
        line={"color": COLOURS.get(state, "#000"), "width": 2.5 if is_best else 1.2},
        marker={"size": 5},
        hovertemplate=f"{result.record.id} ({result.record.state})<br>epoch %{{x}}: %{{y:.4f}}"
        "<extra></extra>",
    )


def rungs(sweep: LoadedSweep) -> list[int]:
    """The epochs at which the sweep's scheduler compares trials and ends some."""
    section = sweep.search["tune"]["scheduler"]
    if section["name"] == "asha":
        most = section["max_t"] or sweep.search["config"]["training"]["epochs"]
        found = set()
        for bracket in range(section["brackets"]):
            epoch = section["grace_period"] * section["reduction_factor"] ** bracket
            while epoch < most:
                found.add(math.ceil(epoch))
                epoch *= section["reduction_factor"]
        return sorted(found)
    if section["name"] == "hyperband":
        events = read_rows(sweep.directory / "events.jsonl")
        return sorted({e["epoch"] for e in events if e.get("decision") in {"STOP", "PAUSE"}})
    return []


def stops(sweep: LoadedSweep) -> Chart:
    """How many trials the scheduler stopped after which epoch, and how many were left."""
    title = "What the scheduler stopped"
    stopped = Counter(len(r.rows) for r in sweep.results if r.record.state == "stopped" and r.rows)
    name = sweep.search["tune"]["scheduler"]["name"]
    if not stopped:
        return Chart(title, "", missing=f"The scheduler ({name}) has stopped no trial.")
    longest = max(len(result.rows) for result in sweep.results)
    epochs = list(range(1, longest + 1))
    trained = [sum(len(result.rows) >= epoch for result in sweep.results) for epoch in epochs]
    figure = go.Figure(
        [
            go.Bar(
                x=epochs,
                y=trained,
                name="trained this epoch",
                marker_color="#c9dcef",
            ),
            go.Bar(
                x=sorted(stopped),
                y=[stopped[epoch] for epoch in sorted(stopped)],
                name="stopped after it",
                width=0.75,
                marker_color=COLOURS["stopped"],
            ),
        ]
    )
    figure.update_layout(barmode="overlay", bargap=0.25)
    figure.update_xaxes(title="epoch").update_yaxes(title="trials")
    note = (
        f"{sum(stopped.values())} trials were ended early by {name}, which saved "
        f"{sweep.saved_epochs()} epochs."
    )
    return Chart(title, note, figure)


def _timeline(subject: Subject) -> Chart:
    title = "Timeline"
    note = "When each trial was started and when it ended; PRUNED ones were stopped early."
    if not any(trial.datetime_start for trial in subject.told.trials):
        return Chart(title, note, missing="No trial has started.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = draw.plot_timeline(subject.told)
    return Chart(title, note, figure.update_layout(title=None))
