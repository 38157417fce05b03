"""The search file: what it says, and how a file becomes a `SearchSpec`.

A search file names a training config and says what to try in it: `space.parsing` reads `space`,
`settings` the rest. This module imports neither torch nor Ray, so a file is checked before either
is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sweeps.space.distributions import Distribution
from sweeps.space.expressions import Expression, ExpressionError, parse_expression
from sweeps.space.parameters import Parameter, ZippedParameter
from sweeps.space.parsing import parse_parameter
from sweeps.space.search_space import bind, grid_size, resolve
from sweeps.spec.settings import (
    SEEDS,
    FailurePolicy,
    Hooks,
    Keep,
    Resources,
    Tune,
    count_trials,
)
from trainable.config import TrainConfig, parse_config
from trainable.config.dotted import flatten
from trainable.config.names import check_directory_name
from trainable.config.override import override
from trainable.config.schema import Items, Section
from trainable.errors import ConfigError

SECTIONS = ("space", "tune", "resources", "failure", "keep", "hooks")

SpaceParameter = Annotated[
    Parameter,
    PlainValidator(parse_parameter),
    PlainSerializer(lambda found: found.to_dict()),
]
Constraint = Annotated[Expression, PlainValidator(parse_expression), PlainSerializer(str)]


class SearchSpec(Section):
    """A complete search file: resolved, absolute, with its seed drawn; immutable.

    `load_search` and `parse_search` make it and check it against the training config.
    """

    name: str = ""
    """The sweep's directory; empty means `{model}_{dataset}_{timestamp}`."""
    config: dict[str, Any]
    """The training config's plain values as given, with absolute paths; see `training`. Defaults
    are left out, because some of them depend on the names that a trial is given."""
    space: dict[str, SpaceParameter]
    constraints: Items[Constraint] = ()
    """What every draw keeps; one on a key that a draw lacks does not apply to it."""
    tune: Tune
    resources: Resources = Resources()
    failure: FailurePolicy = FailurePolicy()
    keep: Keep = Keep()
    hooks: Hooks = Hooks()

    @field_validator("name")
    @classmethod
    def _one_directory(cls, name: str) -> str:
        return check_directory_name(name) if name else name

    @model_validator(mode="before")
    @classmethod
    def _sections(cls, data: Any) -> Any:
        """Sections that are absent or have nothing below them are empty ones."""
        if not isinstance(data, Mapping):
            return data
        empty: dict[str, Any] = {key: {} for key in SECTIONS if data.get(key) is None}
        if data.get("constraints") is None:
            empty["constraints"] = []
        return {**data, **empty}

    @field_validator("space")
    @classmethod
    def _resolved(cls, space: dict[str, Parameter], info: ValidationInfo) -> dict[str, Parameter]:
        return resolve(space, _list_constants(info.data.get("config", {})))

    @field_validator("constraints")
    @classmethod
    def _bound(
        cls, constraints: tuple[Expression, ...], info: ValidationInfo
    ) -> tuple[Expression, ...]:
        space, constants = info.data.get("space", {}), _list_constants(info.data.get("config", {}))
        return tuple(bind(each, space, constants) for each in constraints)

    @field_validator("tune", mode="before")
    @classmethod
    def _size_of_grid(cls, tune: Any, info: ValidationInfo) -> Any:
        if not isinstance(tune, Mapping) or tune.get("num_samples") is not None:
            return tune
        algorithm = tune.get("search_alg")
        if "grid" not in (algorithm, isinstance(algorithm, Mapping) and algorithm.get("name")):
            return {key: value for key, value in tune.items() if key != "num_samples"}
        # A space that is no grid has problems of its own, which are the ones to tell.
        space, constraints = info.data.get("space", {}), info.data.get("constraints", ())
        try:
            size = grid_size(space, constraints)
        except ExpressionError:
            size = None
        return {**tune, "num_samples": size or 1}

    @cached_property
    def training(self) -> TrainConfig:
        """The training config."""
        return parse_config(self.config)

    @property
    def sweep_name(self) -> str | None:
        """The name of the sweep's directory; None where every start has one anew."""
        return self.name or self.training.checkpoint.experiment_name or None

    @property
    def max_epochs(self) -> int:
        """The most epochs that a trial trains."""
        epochs: int = self.training.training.epochs
        swept = self.space.get("training.epochs")
        if isinstance(swept, ZippedParameter):
            return max(epochs if swept.when else 0, *map(int, swept.values))
        if not isinstance(swept, Distribution):
            return epochs
        return max(epochs if swept.when else 0, *map(int, swept.extremes))

    @property
    def trials(self) -> int:
        """Trials in all, those of `final` too."""
        tune = self.tune
        final = (tune.final.top, tune.final.repeats) if tune.final else None
        return count_trials(tune.num_samples, tune.repeats, final)

    def trial_config(self, values: Mapping[str, Any], number: int, repeat: int = 0) -> TrainConfig:
        """Builds the training config of one trial.

        All trials share the config's `seed.value`, so that they differ only by their
        hyperparameters. Trials with the same hyperparameters differ by their seed.

        Args:
            values: Dotted key -> value, a draw from the space.
            number: 0-based number of the trial.
            repeat: 0-based number among the trials of the same values.

        Raises:
            ConfigError: The values do not make a valid config.
        """
        config = parse_config(override(self.config, values), f"trial {number}")
        offset = repeat if self.space else number
        if not offset:
            return config
        seed = config.seed.model_copy(update={"value": (config.seed.value + offset) % SEEDS})
        return config.model_copy(update={"seed": seed})

    def to_dict(self) -> dict[str, Any]:
        """The resolved search file as plain values; `parse_search` makes an equal spec of it."""
        return self.model_dump(mode="json")


def _list_constants(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value for a training config; empty for a broken one."""
    try:
        return flatten(parse_config(config).to_dict(), keep_mappings=True)
    except ConfigError:
        return {}
