"""Checks `tune.scheduler` against the rest of the search file."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.space.distributions import Choice, Distribution
from sweeps.space.mixture import Mixture
from sweeps.spec.schedulers import (
    ASHA,
    FIFO,
    MUTABLE_KEYS,
    PB2,
    PBT,
    BOHBHyperBand,
    HyperBand,
    Median,
    asha_rungs,
    is_mutable,
    mutated_keys,
)
from sweeps.spec.search_algorithms import LEARNING
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.violations import Violation
from trainable.config.names import suggestion
from trainable.config.sections.dataset import FOLD
from trainable.config.yaml_reader import PathKey

SCHEDULER: PathKey = ("tune", "scheduler")
_FROZEN = "a trial that takes over another one's weights would freeze parts which that has trained"
IMMUTABLE_REASONS = {
    "model.freeze": _FROZEN,
    "model.unfreeze_epoch": _FROZEN,
    "optimizer.name": "the optimizer's state is that of another one",
    "ema.enabled": "a checkpoint has averaged weights or it has none; ema.decay can change",
}
"""Key that PBT cannot change -> why."""
SPLIT_KEYS = (FOLD, *(f"dataset.{key}" for key in ("folds", "seed", "test_split", "val_split")))
"""Keys that decide which images are held out."""


def _check_epochs(spec: SearchSpec) -> Iterator[Violation]:
    scheduler, epochs = spec.tune.scheduler, spec.max_epochs
    if isinstance(scheduler, FIFO):
        return
    end = epochs
    if isinstance(scheduler, ASHA | HyperBand | BOHBHyperBand) and scheduler.max_t is not None:
        end = min(epochs, scheduler.max_t)
        if scheduler.max_t > epochs:
            rule = f"must be at most training.epochs ({epochs}), found {scheduler.max_t}"
            yield (*SCHEDULER, "max_t"), rule
    end_key = "training.epochs" if end == epochs else "max_t"
    if isinstance(scheduler, ASHA | Median) and scheduler.grace_period > end:
        rule = f"must be at most {end_key} ({end}), found {scheduler.grace_period}"
        yield (*SCHEDULER, "grace_period"), rule
    elif isinstance(scheduler, ASHA) and scheduler.brackets > 1:
        useful = sum(bool(asha_rungs(scheduler, end, s)) for s in range(scheduler.brackets))
        if scheduler.brackets > max(1, useful):
            rule = f"must be at most {max(1, useful)}, those that have a rung before {end_key}"
            yield (*SCHEDULER, "brackets"), f"{rule} ({end}), found {scheduler.brackets}"
    if isinstance(scheduler, PBT | PB2) and scheduler.perturbation_interval >= epochs:
        rule = f"must be below training.epochs ({epochs}), found {scheduler.perturbation_interval}"
        yield (*SCHEDULER, "perturbation_interval"), rule


def _check_median(spec: SearchSpec) -> Iterator[Violation]:
    """Checks only a given value: the default may exceed the few trials of a first try."""
    scheduler, trials = spec.tune.scheduler, spec.tune.num_samples
    if not isinstance(scheduler, Median):
        return
    default = Median.model_fields["min_samples_required"].default
    if scheduler.min_samples_required >= max(trials, default + 1):
        yield (
            (*SCHEDULER, "min_samples_required"),
            f"must be below num_samples ({trials}), or no trial is ever stopped, "
            f"found {scheduler.min_samples_required}",
        )


def _check_pausing(spec: SearchSpec) -> Iterator[Violation]:
    """Checks the schedulers that pause trials: all trials are live while only a few run."""
    name, limit = spec.tune.scheduler.name, spec.tune.max_concurrent_trials
    if not isinstance(spec.tune.scheduler, HyperBand | BOHBHyperBand | PBT | PB2):
        return
    if not spec.training.checkpoint.enabled:
        rule = "pauses trials and needs checkpoint.enabled: true in the training config"
        yield SCHEDULER, f"{name} {rule}"
    if limit != "auto" and limit < spec.tune.num_samples:
        rule = (
            f"must be auto, or at least num_samples ({spec.tune.num_samples}), under {name}, "
            f"whose trials wait for one another; resources limits how many run, found {limit}"
        )
        yield ("tune", "max_concurrent_trials"), rule


def _check_population(spec: SearchSpec) -> Iterator[Violation]:
    name, algorithm = spec.tune.scheduler.name, spec.tune.search_alg.name
    if not isinstance(spec.tune.scheduler, PBT | PB2):
        return
    if algorithm in LEARNING:
        yield ("tune", "search_alg"), f"{algorithm} learns from fixed values; {name} changes them"
    if spec.tune.num_samples < 2:
        yield ("tune", "num_samples"), f"must be at least 2, a population, under {name}"


def _check_mutated_keys(spec: SearchSpec) -> Iterator[Violation]:
    scheduler, space = spec.tune.scheduler, spec.space
    if not isinstance(scheduler, PBT | PB2):
        return
    keys = mutated_keys(scheduler, tuple(space))
    if not keys:
        mutable = ", ".join(MUTABLE_KEYS)
        yield SCHEDULER, f"the space has no key that {scheduler.name} can change ({mutable})"
    key_name = "hyperparam_mutations" if isinstance(scheduler, PBT) else "hyperparam_bounds"
    for key in keys:
        rule = _explain_immutable(spec, key)
        if rule is not None:
            yield (*SCHEDULER, key_name), rule
        else:
            yield from _check_dependents(spec, key)


def _explain_immutable(spec: SearchSpec, key: str) -> str | None:
    """The reason why a key cannot change during training; None if it can."""
    if key not in spec.space:
        return f'must be keys of the space, found "{key}"{suggestion(key, spec.space)}'
    parameter = spec.space[key]
    if key.startswith("model.args"):
        return f"{key} cannot change during training: the model is built once"
    if key in IMMUTABLE_REASONS:
        return f"{key} cannot change during training: {IMMUTABLE_REASONS[key]}"
    if not is_mutable(key):
        return f"{key} cannot change during training (keys that can: {', '.join(MUTABLE_KEYS)})"
    if parameter.when:
        return f"{key} has a when; a key that changes must exist in every trial"
    if not isinstance(parameter, Distribution):
        return f"{key} follows from other keys ({parameter.kind})"
    if isinstance(spec.tune.scheduler, PB2) and isinstance(parameter, Choice | Mixture):
        return f"pb2 needs a range, found {parameter.label} for {key}"
    if isinstance(parameter, Mixture):
        return f"pbt needs a range or plain values, found {parameter.label} for {key}"
    return None


def check_population_splits(spec: SearchSpec) -> Iterator[Violation]:
    """Yields the keys by which the trials of a population would hold out different images."""
    if not isinstance(spec.tune.scheduler, PBT | PB2):
        return
    for key in SPLIT_KEYS:
        if key in spec.space:
            name = spec.tune.scheduler.name
            rule = (
                f"cannot differ between trials under {name}: a trial that takes over another "
                "one's weights would be validated on images that those were trained on"
            )
            yield ("space", key), rule


def _check_dependents(spec: SearchSpec, key: str) -> Iterator[Violation]:
    """Yields what would no longer hold after a key has changed during training."""
    name = spec.tune.scheduler.name
    for other, parameter in spec.space.items():
        if key in parameter.parents:
            yield ("space", other), f"{name} changes {key} during training, but this depends on it"
    for number, constraint in enumerate(spec.constraints):
        if key in constraint.names:
            rule = f"{name} changes {key} during training and ignores constraints"
            yield ("constraints", number), rule


SCHEDULER_CHECKS = (
    (_check_epochs, "scheduler config epochs"),
    (_check_median, "scheduler num_samples"),
    (_check_pausing, "scheduler config num_samples max_concurrent_trials"),
    (_check_population, "scheduler search_alg num_samples"),
    (_check_mutated_keys, "scheduler parsed constraints"),
)
"""Checks, each with the keys of `tune` and the parts of the file that it reads."""
