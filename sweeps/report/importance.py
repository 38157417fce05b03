"""The importance of a sweep's parameters for its metric. Loads Optuna only to compute it."""

from __future__ import annotations

import warnings

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult

MIN_TRIALS = 20
"""Trials with a result below which the importance says more about chance than about parameters."""

Shares = tuple[dict[str, float], str]
"""Parameter -> share, and the reason if there are none."""


def ended_trials(sweep: LoadedSweep) -> list[TrialResult]:
    """Lists the trials that count: those that ended with a result of their own."""
    return [
        result
        for result in sweep.results
        if result.record.state in {"finished", "stopped"} and result.own_best is not None
    ]


def describe_too_few(count: int) -> str:
    """Returns why so few trials have no importance."""
    verb = "is" if count == 1 else "are"
    return (
        f"This needs at least {MIN_TRIALS} trials that ended with a result; there {verb} "
        f"{count or 'none'}. With fewer, chance decides."
    )


def describe_importance(metric: str, trials: int) -> str:
    """Returns a sentence on what the shares mean."""
    return (
        f"How much each parameter decides whether a trial is among the best by {metric} "
        f"(PED-ANOVA, {trials} trials). It is a hint: it says nothing about values outside the "
        "space, and trials that were stopped early count with their best epoch."
    )


def importance(sweep: LoadedSweep) -> Shares:
    """Computes the importance of every parameter with PED-ANOVA.

    PED-ANOVA (Watanabe et al., IJCAI 2023) supports parameters that only some trials have.
    Trials that were stopped early count with the metric of their best epoch.

    Returns:
        (importances, problem): parameter -> share of the importance in descending order, and the
        reason if there is none.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    from optuna.exceptions import ExperimentalWarning  # takes a second
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    from sweeps.report.optuna_study import read_space, scored_study

    count = len(ended_trials(sweep))
    if count < MIN_TRIALS:
        return {}, describe_too_few(count)
    study = scored_study(sweep, read_space(sweep.directory))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (RuntimeError, ValueError) as error:
        return {}, f"It cannot be computed from these trials: {error}"
    if not shares:
        return {}, "No parameter has more than one value."
    return {key: float(value) for key, value in shares.items()}, ""
