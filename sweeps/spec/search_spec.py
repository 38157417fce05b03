"""The model of a search file: a training config, a space, and the settings of the sweep.

`space.parsing` reads the space, `settings` and `schedulers` define the other sections. Neither
torch nor Ray is imported, so that a file is checked before either is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sweeps.space.config_values import ConfigValues
from sweeps.space.distributions import Distribution
from sweeps.space.expressions import Expression, ExpressionError, parse_expression
from sweeps.space.parameters import Parameter, ZippedParameter
from sweeps.space.parsing import parse_parameter
from sweeps.space.search_space import grid_size, resolve
from sweeps.spec.foreign_keys import FOREIGN_KEYS
from sweeps.spec.log_to import LogTo
from sweeps.spec.origin import Origin
from sweeps.spec.settings import (
    METRICS,
    MODES,
    SEEDS,
    CreatedTrial,
    FailurePolicy,
    Hooks,
    Keep,
    Resources,
    Tune,
    count_trials,
    reported_modes,
)
from trainable.config import TrainConfig, parse_config
from trainable.config.names import check_directory_name
from trainable.config.override import override
from trainable.config.schema import Items, Section
from trainable.config.sections.dataset import FOLD
from trainable.config.sections.metrics import Mode, monitorable

SECTIONS = ("space", "tune", "resources", "failure", "keep", "hooks", "log_to")

SpaceParameter = Annotated[
    Parameter,
    PlainValidator(parse_parameter),
    PlainSerializer(lambda parameter: parameter.to_dict()),
]
Constraint = Annotated[Expression, PlainValidator(parse_expression), PlainSerializer(str)]


class SearchSpec(Section):
    """A complete search file with absolute paths and a fixed seed; immutable.

    `load_search` and `parse_search` create it and check it against the training config.
    """

    foreign_keys: ClassVar[Mapping[str, str]] = FOREIGN_KEYS

    name: str = Field(default="", examples=["digits_asha"])
    """Name of the sweep's directory in `checkpoint.dir` of the training config. Empty means that
    config's `checkpoint.experiment_name` or, if that is empty too,
    `{model}_{dataset}_{timestamp}`. A directory that already contains a sweep is refused."""
    config: dict[str, Any] = Field(examples=["resnet20_digits.yaml"])
    """The [training config](training_config.md): a path relative to the search file, or the
    mapping itself. Every trial uses this config with the values sampled from `space`."""
    space: dict[str, SpaceParameter] = Field(
        examples=[{"training.batch_size": {"choice": [32, 64]}}],
        json_schema_extra={"x-default": "required"},
    )
    """Dotted keys of the training config and their distributions. Can be empty; the
    trials then differ in `seed.value` only."""
    constraints: Items[Constraint] = Field(
        default=(), examples=[["training.batch_size * optimizer.learning_rate < 64"]]
    )
    """Conditions that every configuration must meet."""
    tune: Tune = Field(examples=[{"num_samples": 16}])
    """Metric, search algorithm, scheduler and budget."""
    resources: Resources = Field(default=Resources(), examples=[{"cpu": 1, "gpu": 0.25}])
    """CPUs and GPUs of a trial."""
    failure: FailurePolicy = Field(default=FailurePolicy(), examples=[{"max_retries": 0}])
    """Handling of failed trials."""
    keep: Keep = Field(default=Keep(), examples=[{"epochs": 2, "trials": "top 5"}])
    """Checkpoint files to keep."""
    hooks: Hooks = Field(default=Hooks(), examples=[{"on_finish": "./notify.sh"}])
    """Commands to run on events."""
    log_to: LogTo = Field(default=LogTo(), examples=[{"mlflow": {}, "optuna": "study.log"}])
    """Experiment trackers to report to."""

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_directory_name(name) if name else name

    @model_validator(mode="before")
    @classmethod
    def _fill_in_sections(cls, data: Any) -> Any:
        """Adds the sections that are absent or null as empty ones."""
        if not isinstance(data, Mapping):
            return data
        empty: dict[str, Any] = {key: {} for key in SECTIONS if data.get(key) is None}
        if data.get("constraints") is None:
            empty["constraints"] = []
        return {**data, **empty}

    @field_validator("space")
    @classmethod
    def _resolve_space(
        cls, space: dict[str, Parameter], info: ValidationInfo
    ) -> dict[str, Parameter]:
        return resolve(space, ConfigValues(info.data.get("config", {})))

    @field_validator("constraints")
    @classmethod
    def _bind_constraints(
        cls, constraints: tuple[Expression, ...], info: ValidationInfo
    ) -> tuple[Expression, ...]:
        config = ConfigValues(info.data.get("config", {}))
        return tuple(constraint.bind(config) for constraint in constraints)

    @field_validator("tune", mode="before")
    @classmethod
    def _fill_in_grid_size(cls, tune: Any, info: ValidationInfo) -> Any:
        if not isinstance(tune, Mapping) or tune.get("num_samples") is not None:
            return tune
        algorithm = tune.get("search_alg")
        if "grid" not in (algorithm, isinstance(algorithm, Mapping) and algorithm.get("name")):
            return {key: value for key, value in tune.items() if key != "num_samples"}
        # A space that is not a grid gets its own error message later.
        space, constraints = info.data.get("space", {}), info.data.get("constraints", ())
        try:
            size = grid_size(space, constraints)
        except ExpressionError:
            size = None
        return {**tune, "num_samples": size or 1}

    @field_validator("tune", mode="before")
    @classmethod
    def _fill_in_mode(cls, tune: Any, info: ValidationInfo) -> Any:
        """Fills in the mode of a metric of the user's own, which the training config has."""
        if not isinstance(tune, Mapping) or tune.get("mode") is not None:
            return tune
        modes = reported_modes(info.data.get("config", {})) or {}
        mode = modes.get(str(tune.get("metric")))
        return tune if mode is None else {**tune, "mode": mode}

    @property
    def repeats_folds(self) -> bool:
        """Whether the trials of a configuration hold out one fold after the other."""
        has_copies = self.tune.repeats > 1 or self.tune.final is not None
        has_folds = self.training.dataset.folds is not None or "dataset.folds" in self.space
        return has_copies and has_folds and FOLD not in self.space

    def fold_of(self, config: TrainConfig) -> dict[str, Any]:
        """Returns the key and the fold of a trial's config if its configuration has several."""
        has_folds = self.repeats_folds and config.dataset.folds is not None
        return {FOLD: config.dataset.fold} if has_folds else {}

    @property
    def origin(self) -> Origin:
        """The files that it was read from."""
        return self._origin

    def with_origin(self, origin: Origin) -> SearchSpec:
        """Records the files that it was read from; returns itself."""
        self._origin = origin
        return self

    @cached_property
    def training(self) -> TrainConfig:
        """The training config, parsed from `config`."""
        return parse_config(self.config)

    @property
    def sweep_name(self) -> str | None:
        """The name of the sweep's directory; None if every start creates a new one."""
        return self.name or self.training.checkpoint.experiment_name or None

    @cached_property
    def logged_metrics(self) -> dict[str, Mode]:
        """The metrics of an epoch in `events.jsonl`, those that can rank trials; with modes."""
        return {name: MODES[name] for name in METRICS} | monitorable(self.training.metrics)

    @property
    def max_epochs(self) -> int:
        """The largest number of epochs that a trial can train."""
        epochs: int = self.training.training.epochs
        swept = self.space.get("training.epochs")
        if isinstance(swept, ZippedParameter):
            return max(epochs if swept.when else 0, *map(int, swept.values))
        if not isinstance(swept, Distribution):
            return epochs
        return max(epochs if swept.when else 0, *map(int, swept.extremes))

    @property
    def trials(self) -> int:
        """The total number of trials, including those of `final`."""
        return self.count_trials()

    def count_trials(self, added: int = 0, created: Iterable[CreatedTrial] = ()) -> int:
        """Returns the total number of trials; see `settings.count_trials` for the arguments."""
        tune = self.tune
        final = (tune.final.top, tune.final.repeats) if tune.final else None
        return count_trials(tune.num_samples, tune.repeats, final, added=added, created=created)

    def trial_config(
        self, values: Mapping[str, Any], number: int, repeat: int = 0, seed_offset: int = 0
    ) -> TrainConfig:
        """Builds the training config of one trial.

        All trials share the config's `seed.value`, so that they differ only by their
        hyperparameters. Trials with the same hyperparameters differ by their seed and, with
        `dataset.folds`, by the fold that is held out.

        Args:
            values: Dotted key -> value, a draw from the space.
            number: 0-based number of the trial.
            repeat: 0-based number among the trials of the same values.
            seed_offset: Added to the seed as well.

        Raises:
            ConfigError: The values do not make a valid config.
        """
        config = parse_config(override(self.config, values), f"trial {number}")
        folds = config.dataset.folds
        if repeat and folds is not None and FOLD not in values:
            fold = (config.dataset.fold + repeat) % folds
            dataset = config.dataset.model_copy(update={"fold": fold})
            config = config.model_copy(update={"dataset": dataset})
        offset = (repeat if self.space else number) + seed_offset
        if not offset:
            return config
        seed = config.seed.model_copy(update={"value": (config.seed.value + offset) % SEEDS})
        return config.model_copy(update={"seed": seed})

    def to_dict(self) -> dict[str, Any]:
        """The search file as plain values, from which `parse_search` builds an equal spec."""
        return self.model_dump(mode="json")
