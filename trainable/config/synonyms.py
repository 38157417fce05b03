"""Names that other tools use for keys of the training config and the search file."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SYNONYMS: dict[str, str] = {
    "learning_rate optimizer.learning_rate": "lr learnrate baselr initlr",
    "weight_decay optimizer.weight_decay": "wd l2 decay",
    "batch_size training.batch_size": "bs batch minibatch minibatchsize trainbatchsize",
    "epochs training.epochs": "nepochs numepochs maxepochs epoch trainepochs",
    "optimizer optimizer.name": "optim optimiser opt",
    "scheduler scheduler.name": "lrscheduler lrschedule schedule",
    "warmup_epochs scheduler.warmup_epochs": "warmup warmupsteps numwarmupepochs",
    "model model.name": "arch architecture network net backbone",
    "accumulation_steps training.accumulation_steps": "gradaccum accumulategradbatches "
    "gradientaccumulationsteps",
    "num_workers dataset.num_workers": "workers nworkers",
    "val_split dataset.val_split": "validationsplit valfraction valratio",
    "reduction_factor": "eta divisor factor reduction",
    "grace_period": "miniter mint minresource minbudget minepochs nwarmupsteps startepoch",
    "max_t": "maxiter maxresource maxbudget maxepochs",
    "brackets": "nbrackets numbrackets s",
    "min_samples_required": "nmintrials nstartuptrials",
    "n_startup_trials": "numinitialpoints ninitialpoints nrandomstarts",
    "weights": "probabilities probs p prior",
    "val_acc": "testacc testaccuracy valaccuracy validationaccuracy accuracy acc",
    "val_loss": "testloss validationloss loss",
    "choice": "categorical categories options enum sample",
    "grid": "gridsearch",
    "uniform": "float double interval real",
    "randint": "int integer range intuniform",
    "loguniform": "log logfloat logreal reciprocal",
    "tpe": "hyperopttpe parzen",
    "gp": "bayes bayesian bayesianoptimization bayesopt gaussianprocess botorch skopt",
    "cmaes": "cma evolution evolutionary",
    "qmc": "sobol halton quasirandom quasimontecarlo",
    "random": "randomized",
    "asha": "asynchyperband asynchronoushyperband asyncsuccessivehalving successivehalving sha "
    "adaptiveasha async",
    "fifo": "none",
    "median": "medianstop",
    "pbt": "populationbasedtraining populationbased",
}
"""Our names of one thing -> its names elsewhere, in lower case and without separators."""

_PARTS = re.compile(r"(scheduler|sampler|search|searcher|pruner|tuner|assessor|stoppingrule)$")
"""Endings of the names of other tools' classes."""

_NAMES = {other: ours.split() for ours, others in _SYNONYMS.items() for other in others.split()}


def simplify(name: str) -> str:
    """Returns a name in lower case and without separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_synonym(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name for what another tool calls `name`; None if there is none."""
    names = set(known)
    simple = simplify(name)
    for text in (simple, _PARTS.sub("", simple)):
        same = (other for other in names if simplify(other) == text)
        ours = next(same, None) or next((n for n in _NAMES.get(text, []) if n in names), None)
        if ours is not None:
            return ours
    return None
