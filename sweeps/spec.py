"""The search file: what it says, and how a file becomes a `SearchSpec`.

A search file names a training config and says what to try in it: `notation` describes `space`,
`sections` the rest. This module imports neither torch nor Ray, so a file is checked before either
is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sweeps.distributions import Choice, Distribution
from sweeps.notation import parse_distribution
from sweeps.scheduler_check import scheduler_problems
from sweeps.sections import METRICS, SEEDS, FailurePolicy, Keep, Resources, Tune
from sweeps.space import (
    MAX_POINTS,
    Values,
    condition_problems,
    grid_part,
    grid_points,
    grid_size,
    random_draw,
)
from sweeps.space_check import config_problems, draw_problem
from sweeps.training_file import line_of, read_training_config
from trainable.config import override, parse_config
from trainable.errors import ConfigError, Problem
from trainable.naming import check_directory_name
from trainable.schema import Section, validate
from trainable.yaml_reader import Document, PathKey, dotted, read_yaml

__all__ = [
    "METRICS",
    "FailurePolicy",
    "Keep",
    "Resources",
    "SearchSpec",
    "Tune",
    "load_search",
    "parse_search",
]

SECTIONS = ("space", "tune", "resources", "failure", "keep")

CHECKED_DRAWS = 256
"""First draws of a sweep that are made into configs before it starts."""

SpaceEntry = Annotated[
    Distribution,
    PlainValidator(parse_distribution),
    PlainSerializer(lambda found: found.to_dict()),
]


class SearchSpec(Section):
    """A complete search file: resolved, absolute, with its seed drawn; immutable.

    `load_search` and `parse_search` make it and check it against the training config.
    """

    name: str = ""
    """The sweep's directory; empty means `{model}_{dataset}_{timestamp}`."""
    config: dict[str, Any]
    """The training config's plain values as given, with absolute paths. Defaults stay unwritten:
    some depend on the names that a trial is given."""
    space: dict[str, SpaceEntry]
    tune: Tune
    resources: Resources = Resources()
    failure: FailurePolicy = FailurePolicy()
    keep: Keep = Keep()

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
        empty = [key for key in SECTIONS if data.get(key) is None]
        return {**data, **{key: {} for key in empty}}

    @field_validator("tune", mode="before")
    @classmethod
    def _size_of_grid(cls, tune: Any, info: ValidationInfo) -> Any:
        if not isinstance(tune, Mapping) or tune.get("num_samples") is not None:
            return tune
        algorithm = tune.get("search_alg")
        if "grid" not in (algorithm, isinstance(algorithm, Mapping) and algorithm.get("name")):
            return {key: value for key, value in tune.items() if key != "num_samples"}
        # A space that is no grid has problems of its own, which are the ones to tell.
        return {**tune, "num_samples": grid_size(info.data.get("space", {})) or 1}

    @property
    def max_epochs(self) -> int:
        """The most epochs that a trial trains."""
        epochs: int = parse_config(self.config).training.epochs
        swept = self.space.get("training.epochs")
        if swept is None:
            return epochs
        return max(epochs if swept.when else 0, *map(int, swept.corners))

    def trial_config(self, values: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The complete training config of one trial.

        Trials share the config's `seed.value`, so that they differ by their hyperparameters
        alone; where there are none, the seed is what differs.

        Args:
            values: Dotted key -> value, a draw from the space.
            number: 0-based number of the trial.

        Raises:
            ConfigError: The values make no config.
        """
        config = override(self.config, values)
        if not self.space:
            seed = parse_config(self.config).seed.value
            config = override(config, {"seed.value": (seed + number) % SEEDS})
        return parse_config(config, f"trial {number}").to_dict()

    def to_dict(self) -> dict[str, Any]:
        """The resolved search file as plain values; `parse_search` makes an equal spec of it."""
        return self.model_dump(mode="json")


def load_search(path: str | Path) -> SearchSpec:
    """Reads a search file and the training config that it names.

    Raises:
        ConfigError: With every problem of both files at once.
    """
    return parse_search(read_yaml(path), directory=Path(path).parent)


def parse_search(data: Any, source: str = "search", directory: str | Path = ".") -> SearchSpec:
    """Checks a search file's plain values.

    Args:
        data: The nested mapping, or a `Document` that knows its lines.
        source: What error messages call it.
        directory: What a path under `config` is relative to.

    Raises:
        ConfigError: With every problem at once; those of the training config say so.
    """
    document = data if isinstance(data, Document) else Document(data, {}, source)
    values = document.data
    problems: list[Problem] = []
    if isinstance(values, Mapping) and values.get("config") is not None:
        config, problems = read_training_config(document, Path(directory))
        values = {**values, "config": config}
    try:
        spec = validate(SearchSpec, Document(values, document.lines, document.source))
    except ConfigError as error:
        problems += error.problems
    else:
        found = _problems(spec, is_config_good=not problems)
        problems += [Problem(dotted(path), rule, line_of(document, path)) for path, rule in found]
        if not problems:
            return spec
    raise ConfigError(document.source, sorted(problems, key=lambda found: found.line or 0))


# ---------------------------------------------------------------------------- what must agree

_Found = tuple[PathKey, str]
"""Where in the search file, and the rule."""


def _problems(spec: SearchSpec, *, is_config_good: bool) -> list[_Found]:
    """What is wrong between the keys of a search file each of which is good by itself."""
    found = _under_space(condition_problems(spec.space))
    if found:
        return found
    found = [*_under_space(config_problems(spec.space, spec.config)), *_about_search(spec)]
    if found or not is_config_good:
        return found
    found = list(scheduler_problems(spec))
    rule = draw_problem(islice(_draws(spec), CHECKED_DRAWS), spec.config)
    return [*found, (("space",), rule)] if rule else found


def _under_space(found: Iterable[_Found]) -> list[_Found]:
    return [(("space", *path), rule) for path, rule in found]


def _draws(spec: SearchSpec) -> Iterator[Values]:
    """The sweep's draws as far as they are known before it runs; for tpe, others like them."""
    if spec.tune.search_alg.name == "grid":
        yield from islice(grid_points(spec.space), spec.tune.num_samples)
        return
    cycle = list(grid_points(grid_part(spec.space)))
    for number in range(spec.tune.num_samples):
        yield random_draw(spec.space, cycle, spec.tune.seed, number)


def _about_search(spec: SearchSpec) -> Iterator[_Found]:
    name, wanted = spec.tune.search_alg.name, spec.tune.num_samples
    at = ("tune", "search_alg")
    for key, found in spec.space.items():
        if name == "grid" and not isinstance(found, Choice):
            yield at, f"grid takes choice and grid only, found {found.kind} for {key}"
        if name == "tpe" and found.kind == "grid":
            yield at, f"tpe takes no grid, found one for {key}; write choice"
    if spec.tune.warm_start is not None and name != "tpe":
        yield ("tune", "warm_start"), f"{name} learns from no earlier trials; use tpe"
    size = grid_size(spec.space if name == "grid" else grid_part(spec.space))
    if size is not None and size > MAX_POINTS:
        yield ("space",), f"must have at most {MAX_POINTS} points in its grid"
    elif size is not None and name == "grid" and wanted > size:
        rule = f"must be at most the size of the grid ({size}), found {wanted}"
        yield ("tune", "num_samples"), rule
