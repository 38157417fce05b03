"""What must agree between `tune.scheduler` and the rest of the search file."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.space.distributions import Choice, Distribution
from sweeps.spec.schedulers import (
    ASHA,
    FIFO,
    MUTABLE,
    PB2,
    PBT,
    BOHBHyperBand,
    HyperBand,
    Median,
    asha_rungs,
    mutated_keys,
)
from sweeps.spec.search_algorithms import LEARNING
from sweeps.spec.search_spec import SearchSpec
from trainable.config.names import suggestion
from trainable.config.yaml_reader import PathKey

AT: PathKey = ("tune", "scheduler")

Found = tuple[PathKey, str]
"""Where in the search file, and the rule."""


def check_scheduler(spec: SearchSpec) -> Iterator[Found]:
    """What is wrong between a good scheduler section and the other, good sections."""
    yield from _about_epochs(spec)
    yield from _about_median(spec)
    scheduler = spec.tune.scheduler
    if isinstance(scheduler, HyperBand | BOHBHyperBand | PBT | PB2):
        yield from _about_pausing(spec)
    if isinstance(scheduler, PBT | PB2):
        yield from _about_population(spec)


def _about_epochs(spec: SearchSpec) -> Iterator[Found]:
    scheduler, epochs = spec.tune.scheduler, spec.max_epochs
    if isinstance(scheduler, FIFO):
        return
    end = epochs
    if isinstance(scheduler, ASHA | HyperBand | BOHBHyperBand) and scheduler.max_t is not None:
        end = min(epochs, scheduler.max_t)
        if scheduler.max_t > epochs:
            rule = f"must be at most training.epochs ({epochs}), found {scheduler.max_t}"
            yield (*AT, "max_t"), rule
    what = "training.epochs" if end == epochs else "max_t"
    if isinstance(scheduler, ASHA | Median) and scheduler.grace_period > end:
        rule = f"must be at most {what} ({end}), found {scheduler.grace_period}"
        yield (*AT, "grace_period"), rule
    elif isinstance(scheduler, ASHA) and scheduler.brackets > 1:
        most = max(1, sum(bool(asha_rungs(scheduler, end, s)) for s in range(scheduler.brackets)))
        if scheduler.brackets > most:
            rule = f"must be at most {most}, those that have a rung before {what} ({end})"
            yield (*AT, "brackets"), f"{rule}, found {scheduler.brackets}"
    if isinstance(scheduler, PBT | PB2) and scheduler.perturbation_interval >= epochs:
        rule = f"must be below training.epochs ({epochs}), found {scheduler.perturbation_interval}"
        yield (*AT, "perturbation_interval"), rule


def _about_median(spec: SearchSpec) -> Iterator[Found]:
    """Refuses what was asked for; the default may be too much for a first try of a few trials."""
    scheduler, trials = spec.tune.scheduler, spec.tune.num_samples
    if not isinstance(scheduler, Median):
        return
    usual = Median.model_fields["min_samples_required"].default
    if scheduler.min_samples_required >= max(trials, usual + 1):
        yield (
            (*AT, "min_samples_required"),
            f"must be below num_samples ({trials}), or no trial is ever ended, "
            f"found {scheduler.min_samples_required}",
        )


def _about_pausing(spec: SearchSpec) -> Iterator[Found]:
    """These schedulers pause trials, so that all of them are live while few are running."""
    name, limit = spec.tune.scheduler.name, spec.tune.max_concurrent_trials
    if not spec.training.checkpoint.enabled:
        yield AT, f"{name} pauses trials and needs checkpoint.enabled: true in the training config"
    if limit != "auto" and limit < spec.tune.num_samples:
        rule = (
            f"must be auto, or at least num_samples ({spec.tune.num_samples}), under {name}, "
            f"whose trials wait for one another; resources says how many run, found {limit}"
        )
        yield ("tune", "max_concurrent_trials"), rule


def _about_population(spec: SearchSpec) -> Iterator[Found]:
    scheduler, space = spec.tune.scheduler, spec.space
    key_name = "hyperparam_mutations" if isinstance(scheduler, PBT) else "hyperparam_bounds"
    algorithm = spec.tune.search_alg.name
    if algorithm in LEARNING:
        rule = f"{algorithm} learns from fixed values; {scheduler.name} changes them"
        yield ("tune", "search_alg"), rule
    if spec.tune.num_samples < 2:
        yield ("tune", "num_samples"), f"must be at least 2, a population, under {scheduler.name}"
    keys = mutated_keys(scheduler, tuple(space))
    if not keys:
        rule = f"the space has no key that {scheduler.name} can change ({', '.join(MUTABLE)})"
        yield AT, rule
    for key in keys:
        if key not in space:
            yield (
                (*AT, key_name),
                f'must be keys of the space, found "{key}"{suggestion(key, space)}',
            )
        elif key not in MUTABLE:
            rule = f"{key} cannot change in mid-training (what can: {', '.join(MUTABLE)})"
            yield (*AT, key_name), rule
        elif space[key].when:
            yield (*AT, key_name), f"{key} has a when; what changes must always be there"
        elif not isinstance(space[key], Distribution):
            yield (*AT, key_name), f"{key} follows from other keys ({space[key].kind})"
        elif isinstance(scheduler, PB2) and isinstance(space[key], Choice):
            yield (*AT, key_name), f"pb2 needs a range, found {space[key].kind} for {key}"
        else:
            yield from _about_followers(spec, key)


def _about_followers(spec: SearchSpec, key: str) -> Iterator[Found]:
    """What would not hold any more when a key changes in mid-training."""
    name = spec.tune.scheduler.name
    for other, entry in spec.space.items():
        if key in entry.parents:
            yield ("space", other), f"{name} changes {key} in mid-training, which this depends on"
    for number, constraint in enumerate(spec.constraints):
        if key in constraint.names:
            rule = f"{name} changes {key} in mid-training and keeps no constraints"
            yield ("constraints", number), rule
