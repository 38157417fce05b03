"""Completes and checks a configuration that is added by hand, as those of a search file are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeps.space.config_values import ConfigValues
from sweeps.space.distributions import Distribution
from sweeps.space.expressions import ExpressionError
from sweeps.space.parameters import to_json
from sweeps.space.search_space import Values, draw, is_finite
from sweeps.spec.schedulers import FIFO, PB2, PBT
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.scheduler import SPLIT_KEYS
from sweeps.spec.validation.space import SHARED_KEYS, check_keys
from sweeps.sweep_dir.records import TrialRecord
from trainable.config.dotted import flatten
from trainable.errors import ConfigError, Problem

SOURCE = "the added configuration"


def complete_configuration(
    spec: SearchSpec, given: Mapping[str, Any], like: Mapping[str, Any]
) -> Values:
    """Returns the values of a configuration with those keys of the space that are not given.

    They have another trial's values, else the training config's, or follow from others. A given
    value of a range is made the type that the range draws.

    Args:
        spec: The sweep's search file.
        given: Dotted key of the training config -> value.
        like: The values of another trial; keys that do not exist any more are left out.

    Raises:
        ConfigError: The values have problems; all of them are listed.
    """
    problems = [*_check_keys(spec, given)]
    values: Values = {}
    try:
        values = _complete(spec, {**like, **given}, given.keys())
    except ExpressionError as error:
        problems.append(Problem("", str(error)))
    else:
        for key in given.keys() & spec.space.keys() - values.keys():
            when = {parent: list(of) for parent, of in spec.space[key].when.items()}
            problems.append(Problem(key, f"exists only where {to_json(when)}; leave it out"))
        more = {**like, **given}
        values |= {key: value for key, value in more.items() if key not in spec.space}
    if not problems:
        problems += _check_config(spec, values)
    if problems:
        raise ConfigError(SOURCE, problems)
    return values


def _complete(spec: SearchSpec, given: Values, explicit: Collection[str]) -> Values:
    config = ConfigValues(spec.config)
    picked: Values = {}

    def pick(key: str, distribution: Distribution) -> Any:
        if key not in given:
            flat = flatten({**given, **picked}, keep_mappings=True)
            value = config.find([key], flat).get(key)
        elif _can_draw(distribution, given[key]):
            value = distribution.convert(given[key])
        else:
            value = given[key]
        picked[key] = value
        return value

    values = draw(spec.space, pick)
    derived = {key: given[key] for key in values.keys() - picked.keys() if key in explicit}
    return values | derived


def _can_draw(distribution: Distribution, value: Any) -> bool:
    try:
        return distribution.can_draw(value)
    except (ValueError, OverflowError):  # a number that is not finite
        return False


def _check_keys(spec: SearchSpec, given: Mapping[str, Any]) -> Iterator[Problem]:
    for (key, *_), rule in check_keys(key for key in given if key not in spec.space):
        yield Problem(str(key), rule)
    for key, value in given.items():
        shared = {key, key.partition(".")[0], *flatten({key: value}, keep_mappings=True)}
        if shared & SHARED_KEYS:
            yield Problem(key, "is the same for every trial of the sweep; leave it out")
        if key in SPLIT_KEYS and isinstance(spec.tune.scheduler, PBT | PB2):
            name = spec.tune.scheduler.name
            yield Problem(key, f"cannot differ between trials under {name}; leave it out")
        if key == "model.pretrained" and isinstance(value, str) and not Path(value).is_absolute():
            yield Problem(key, f"must be an absolute path, found {value}")


def _check_config(spec: SearchSpec, values: Values) -> Iterator[Problem]:
    try:
        config = spec.trial_config(values, 0)
    except ConfigError as error:
        yield from error.problems
        return
    epochs = config.training.epochs
    if epochs > spec.max_epochs and not isinstance(spec.tune.scheduler, FIFO):
        yield Problem(
            "training.epochs",
            f"must be at most {spec.max_epochs}, the last epoch of the sweep's "
            f"{spec.tune.scheduler.name}, found {epochs}",
        )


def copy_values(record: TrialRecord) -> Values:
    """Returns the values that a configuration like a trial's has: its current ones."""
    return {key: record.current[key] for key in record.values if key in record.current}


def needs_other_seed(
    spec: SearchSpec, values: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether a trial of these values would be the same training as another one of the sweep.

    Args:
        spec: The sweep's search file.
        values: The complete values of an added configuration.
        others: Those of the sweep's other configurations.
    """
    if is_finite(spec.space) and values.keys() <= spec.space.keys():
        return True  # the searcher may come to it
    config = ConfigValues(spec.config)

    def value_of(key: str, others: Mapping[str, Any]) -> Any:
        flat = flatten(others, keep_mappings=True)
        return others[key] if key in others else config.find([key], flat).get(key)

    return any(
        all(value_of(key, values) == value_of(key, other) for key in {*values, *other})
        for other in others
    )
