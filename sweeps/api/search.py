"""A search built in Python: the same as a search file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.api.plain_values import to_plain
from sweeps.api.space import SpaceValue
from sweeps.spec.load import load_search, parse_assigned
from sweeps.spec.search_spec import SearchSpec
from trainable.atomic_files import write_text
from trainable.config import TrainConfig, parse_config
from trainable.config.yaml_reader import Document, dump_flow, dump_yaml
from trainable.uri import expand_home

if TYPE_CHECKING:
    from sweeps.api.search_plan import SearchPlan
    from sweeps.api.sweep import Sweep
    from sweeps.api.trial import Trial


@dataclass(frozen=True, kw_only=True, repr=False)
class Search:
    """A search: a training config, a space, and how to search it.

    Its arguments are the keys of the search file, with the same values. Nothing is checked before
    `validate`, `save`, `plan` or `run`; they report all problems at once by their keys.

    Example:
        ```python
        from sweeps import Search, choice, loguniform

        search = Search(
            name="digits_python",
            config="configs/resnet20_digits.yaml",
            space={
                "optimizer.learning_rate": loguniform(1e-4, 1e-1),
                "training.batch_size": choice([32, 64]),
            },
            tune={"num_samples": 8, "scheduler": {"name": "asha", "grace_period": 2}},
            resources={"cpu": 1},
        )
        search.validate()
        search.save("search.yaml")
        ```
    """

    config: TrainConfig | str | Path | Mapping[str, Any]
    """The training config that all trials start from: a `TrainConfig`, its plain values, or the
    path of a file, relative to the working directory."""
    space: Mapping[str, SpaceValue | Mapping[str, Any]]
    """Dotted key of the training config -> its distribution, such as `loguniform(1e-4, 1e-1)` or,
    as in the file, `{"loguniform": [1e-4, 1e-1]}`."""
    tune: Mapping[str, Any]
    """Metric, number of configurations, search algorithm, scheduler and budget."""
    name: str = ""
    """Name of the sweep's directory."""
    constraints: Sequence[str] = ()
    """Conditions that every configuration must meet."""
    resources: Mapping[str, Any] | None = None
    """CPUs and GPUs of a trial."""
    failure: Mapping[str, Any] | None = None
    """Handling of failed trials."""
    keep: Mapping[str, Any] | None = None
    """Checkpoint files to keep."""
    hooks: Mapping[str, Any] | None = None
    """Commands to run on events."""
    log_to: Mapping[str, Any] | None = None
    """Experiment trackers to report to."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the plain values of its search file: those that were given."""
        given = {key: to_plain(getattr(self, key)) for key in _KEYS}
        if isinstance(self.config, TrainConfig):
            given["config"] = _shorten_config(self.config)
        required = ("config", "space", "tune")
        return {k: v for k, v in given.items() if k in required or v not in ("", None, [])}

    def to_yaml(self) -> str:
        """Returns the text of its search file, for the working directory.

        Raises:
            ConfigError: It has problems; all of them are listed.
        """
        return self._to_yaml(Path())

    def save(self, path: str | Path = "search.yaml") -> Path:
        """Writes its search file, for `sweep run` and all other commands; returns the path.

        A file that exists is replaced. The path of a training config is written relative to the
        search file's directory.

        Raises:
            ConfigError: It has problems; all of them are listed, and nothing is written.
        """
        target = Path(expand_home(str(path)))
        text = self._to_yaml(target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
        return target

    def validate(self, *, allow_custom_model: bool = False) -> None:
        """Checks the search with its training config, data and paths, as `sweep validate` does.

        Args:
            allow_custom_model: Whether own data sets and models are allowed; they are looked for,
                but not run.

        Raises:
            ConfigError: It has problems; all of them are in `problems`, each with its `key` and
                `rule`.
        """
        from sweeps.planning.validation import check_spec

        check_spec(self.to_spec(), allow_custom_model=allow_custom_model)

    def plan(self, *, allow_custom_model: bool = False) -> SearchPlan:
        """Plans the sweep without starting it, as `sweep plan` does.

        Args:
            allow_custom_model: Whether own data sets and models may be imported.

        Raises:
            ConfigError: It has problems; all of them are listed.
        """
        from sweeps.api.search_plan import make_search_plan

        return make_search_plan(self.to_spec(), allow_custom_model=allow_custom_model)

    def run(
        self,
        *,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
        on_epoch: Callable[[Trial, dict[str, Any]], object] | None = None,
        on_trial_end: Callable[[Trial], object] | None = None,
        allow_custom_model: bool = False,
        address: str | None = None,
    ) -> Sweep:
        """Runs the sweep; see `run_sweep`.

        Args:
            set: See `run_sweep`.
            on_epoch: See `run_sweep`.
            on_trial_end: See `run_sweep`.
            allow_custom_model: See `run_sweep`.
            address: See `run_sweep`.
        """
        from sweeps.api.sweep import run_sweep

        return run_sweep(
            self,
            set=set,
            on_epoch=on_epoch,
            on_trial_end=on_trial_end,
            allow_custom_model=allow_custom_model,
            address=address,
        )

    def to_spec(self, assignments: Mapping[str, Any] | None = None) -> SearchSpec:
        """Returns the checked search, as the commands read it from its file.

        Args:
            assignments: Dotted key -> value that replaces the one given.

        Raises:
            ConfigError: It has problems; all of them are listed.
        """
        return _parse(self.to_dict(), self._source, to_plain(assignments or {}))

    @property
    def _source(self) -> str:
        """The name by which messages call it."""
        return f"search {self.name}" if self.name else "search"

    def _to_yaml(self, directory: Path) -> str:
        self.to_spec()
        values = self.to_dict()
        if isinstance(values["config"], str):
            path = Path(expand_home(values["config"]))
            if not path.is_absolute():  # a directory may be a link
                path = Path(os.path.relpath(path.resolve(), directory.resolve()))
            values["config"] = str(path)
        return "".join(_dump_section(key, value) for key, value in values.items())

    def __repr__(self) -> str:
        """Returns one line."""
        count = (self.tune or {}).get("num_samples", "all")
        keys = ", ".join(map(str, self.space or ())) or "no keys"
        return f"<Search {self.name or '(no name)'}: {count} configurations over {keys}>"


_KEYS = ("name", *(field.name for field in fields(Search) if field.name != "name"))
"""Keys of the file in the order in which they are written."""


def to_spec(
    search: str | Path | Mapping[str, Any] | Search, assignments: Mapping[str, Any]
) -> SearchSpec:
    """Returns the checked search, whichever way it is given.

    Args:
        search: A search file, its plain values, or a `Search`.
        assignments: Dotted key -> value that replaces the one given.

    Raises:
        ConfigError: It has problems; all of them are listed.
    """
    if isinstance(search, Search):
        return search.to_spec(assignments)
    if isinstance(search, Mapping):
        return _parse(to_plain(search), "search", assignments)
    return load_search(search, assignments)


def _parse(
    values: dict[str, Any], source: str, assignments: Mapping[str, Any] | None
) -> SearchSpec:
    return parse_assigned(Document(values, {}, source), Path(), assignments or {})


def _shorten_config(config: TrainConfig) -> dict[str, Any]:
    """Returns the values that a training config was given; all of them if the rest differs."""
    given: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    return given if parse_config(given) == config else config.to_dict()


def _dump_section(key: str, value: Any) -> str:
    """Returns one section of the file; each parameter of the space is on one line."""
    if key != "space" or not value:
        return dump_yaml({key: value})
    lines = [f"  {dump_flow(name)}: {dump_flow(item)}\n" for name, item in value.items()]
    return f"{key}:\n{''.join(lines)}"
