"""Sections of the search file except its space and algorithms: every key and its default."""

from __future__ import annotations

import logging
import re
import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from sweeps.spec.foreign_keys import FOREIGN_KEYS
from sweeps.spec.schedulers import FIFO, SchedulerConfig
from sweeps.spec.search_algorithms import RandomSearch, SearchAlgorithmConfig
from trainable.config.names import suggestion
from trainable.config.schema import Items, Section, UserPath
from trainable.config.sections.metrics import SCORES, VALIDATION, Mode, monitorable

MODES: dict[str, Mode] = {
    "train_loss": "min",
    "train_acc": "max",
    "val_loss": "min",
    "val_acc": "max",
    "best_acc": "max",
    "epoch_s": "min",
    "images_per_s": "max",
    "peak_memory_gib": "min",
}
"""Metric that a trial reports at every epoch -> whether it should be large or small."""

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "best_acc")
"""Metrics that can rank the trials of every sweep; others are those of the config's `metrics`."""

GPU_METRIC = "peak_memory_gib"
"""The metric that only a GPU has, and only for a process that trains one trial."""

OBJECTIVES = tuple(MODES)
"""Metrics that `pareto` may name in every sweep."""

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Unit of a time budget -> its seconds."""

SEEDS = 2**63
"""Number of seeds; they are 0 to `SEEDS - 1`."""


def reported_modes(config: Mapping[str, Any]) -> dict[str, Mode] | None:
    """Returns every metric that trials of a training config report, each with its mode.

    Args:
        config: The config's plain values, which may break its schema.

    Returns:
        None if the config does not say it.
    """
    if not config:
        return None
    try:
        return {**MODES, **monitorable(config.get("metrics") or ())}
    except (TypeError, ValueError, AttributeError):
        return None


def check_reported(metric: str, always: Sequence[str]) -> str:
    """Returns a metric if trials may report it; a training config says which ones they do.

    Args:
        metric: The name.
        always: Those that trials of every config report.

    Raises:
        ValueError: No config has such a metric; the text suggests the nearest one.
    """
    if metric in always or metric.startswith(VALIDATION):
        return metric
    scores = [VALIDATION + name for name in SCORES]
    hint = suggestion(metric, [*always, *scores]) or suggestion(metric, always)
    raise ValueError(f'unknown name, found "{metric}"{hint}')


class Final(Section):
    """`tune.final`: repetitions of the best configurations after every trial has ended."""

    top: PositiveInt = Field(examples=[3])
    """Number of configurations, the best ones."""
    repeats: PositiveInt = Field(examples=[5])
    """Trials of each configuration. They have new seeds, and the next folds where the training
    config has `dataset.folds`, and run all their epochs."""


class CreatedTrial(Protocol):
    """The part of a trial's record by which trials are counted."""

    final: bool
    """Whether it is a repetition for `tune.final`."""
    added: bool
    """Whether its configuration was added by hand."""


def count_begun(created: Iterable[CreatedTrial]) -> int:
    """Returns the number of trials without those of `tune.final` and added ones."""
    return sum(not trial.final and not trial.added for trial in created)


def count_trials(
    configurations: int,
    repeats: int,
    final: tuple[int, int] | None,
    *,
    added: int = 0,
    created: Iterable[CreatedTrial] = (),
) -> int:
    """Returns the number of trials of a sweep.

    Args:
        configurations: The sweep's `num_samples`.
        repeats: The number of trials of each configuration.
        final: `top` and `repeats` of `tune.final`; None without it.
        added: Number of configurations that were added by hand.
        created: The trials that exist. There may be more than `num_samples` asks for, which a
            resume can lower.
    """
    top, final_repeats = final or (0, 0)
    searched = max(configurations * repeats, count_begun(created)) + added * repeats
    return searched + min(top, -(-searched // repeats)) * final_repeats


class Tune(Section):
    """`tune`: what to optimise, the number of trials, and the algorithms."""

    foreign_keys: ClassVar[Mapping[str, str]] = FOREIGN_KEYS

    metric: str = Field(
        default="val_acc", examples=["val_f1_macro"], json_schema_extra={"x-type": "name"}
    )
    """Ranks the trials, each by its best epoch: `val_acc`, `val_loss`, `train_acc`, `train_loss`,
    `best_acc`, or `val_` and a name of the training config's `metrics`, e.g. `val_f1_macro`.
    Accuracies are fractions in [0, 1], losses are means per image. `val_*` are those of the test
    set if the training config has no `dataset.val_split` or `folds`."""
    mode: Mode = Field(examples=["min"], json_schema_extra={"x-default": "by metric"})
    """Follows from the metric: `min` for a loss, `max` for an accuracy and all built-in `metrics`.
    Another one is refused."""
    pareto: dict[str, Mode] = Field(default={}, examples=[{"epoch_s": "min"}])
    """More metrics with their modes: those that `metric` can be, `epoch_s` (`min`, in seconds),
    `images_per_s` (`max`), `peak_memory_gib` (`min`, GiB of the GPU; only where trials have one
    and `process` is `trial`). The sweep then looks for trials that no other trial beats in all of
    them. With `random`, `grid`, `qmc`, `tpe` or `gp`, and `fifo`."""
    target: float | None = Field(default=None, examples=[0.99])
    """The sweep ends when a trial's metric reaches this value, a fraction for an accuracy; null
    means never."""
    num_samples: PositiveInt = Field(examples=[16], json_schema_extra={"x-default": "required"})
    """Number of configurations, including those before a resume. Each is trained `repeats`
    times. With `search_alg: grid`, the size of the grid by default."""
    repeats: PositiveInt = Field(default=1, examples=[3])
    """Trials of each configuration, with consecutive seeds and, where the training config has
    `dataset.folds`, with consecutive folds. It is ranked by their mean. With `fifo`."""
    final: Final | None = Field(default=None, examples=[{"top": 3, "repeats": 5}])
    """Trains the best configurations again at the end; null means that this is not done."""
    points_to_evaluate: Items[dict[str, Any]] = Field(
        default=(), examples=[[{"training.batch_size": 64}]]
    )
    """Values of the first trials, each one that its key can draw and that its `when` allows.
    Keys that are left out are drawn; a whole configuration is given once. Not with `grid`."""
    search_alg: SearchAlgorithmConfig = Field(
        default=RandomSearch(),
        examples=[{"name": "tpe", "n_startup_trials": 8}],
        json_schema_extra={"x-type": "name or mapping"},
    )
    """Suggests the values of each trial. `random`: independent samples; those of trial n depend on
    `tune.seed` and n only. `grid`: every point of a space of `grid` and `choice`, the last key
    varying fastest. `qmc`: scrambled Sobol points (Owen, 1998), which cover the space evenly. The
    others learn from earlier trials and take no `grid` keys."""
    scheduler: SchedulerConfig = Field(
        default=FIFO(),
        examples=[{"name": "asha", "grace_period": 2}],
        json_schema_extra={"x-type": "name or mapping"},
    )
    """Decides which trials are stopped early. `fifo`: every trial runs all its epochs."""
    max_concurrent_trials: Literal["auto"] | PositiveInt = Field(default="auto", examples=[4])
    """Trials that run concurrently; `auto` means as many as the machines hold."""
    time_budget: float | None = Field(default=None, gt=0, examples=["2h"])
    """Seconds of one run of the sweep, or a text such as `90s`, `30m`, `4h`, `2d`. The sweep is
    then paused: running trials finish their epoch and save. null means no limit."""
    warm_start: UserPath | None = Field(default=None, examples=["experiments/digits_tpe"])
    """Directory of an earlier sweep. A `search_alg` that learns (except `bohb`) begins from those
    of its ended trials that fit this space."""
    seed: int = Field(ge=0, lt=SEEDS, examples=[42], json_schema_extra={"x-default": "drawn"})
    """Seed of all draws. null means a random one, which the sweep's `search.yaml` records."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Fills in defaults that depend on other keys, and expands algorithms given by name."""
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for key in ("search_alg", "scheduler"):
            if isinstance(filled.get(key), str):
                filled[key] = {"name": filled[key]}
        if filled.get("mode") is None:
            filled["mode"] = MODES.get(str(filled.get("metric")), "max")
        if filled.get("seed") is None:
            filled["seed"] = secrets.randbelow(2**32)
        return filled

    @field_validator("time_budget", mode="before")
    @classmethod
    def _to_seconds(cls, budget: Any) -> Any:
        return _read_duration(budget)

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, metric: str) -> str:
        return check_reported(metric, METRICS)

    @field_validator("pareto")
    @classmethod
    def _check_pareto(cls, pareto: dict[str, Mode]) -> dict[str, Mode]:
        for metric in pareto:
            check_reported(metric, OBJECTIVES)
        return pareto

    @property
    def metrics(self) -> dict[str, Mode]:
        """`metric` and the metrics of `pareto`, each with its mode."""
        return {self.metric: self.mode, **self.pareto}


class Resources(Section):
    """`resources`: what each trial gets."""

    foreign_keys: ClassVar[Mapping[str, str]] = FOREIGN_KEYS

    cpu: float = Field(default=1, gt=0, examples=[2])
    """CPU cores of a trial, and its number of threads."""
    gpu: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(default=0.0, examples=[0.25])
    """GPUs of a trial. A fraction shares a GPU with other trials and limits the trial's memory to
    that fraction; above 1 it must be whole. `auto`: a measured fraction. On
    a cluster without GPUs it counts as 0, and a note says so."""
    process: Literal["trial", "shared"] = Field(default="trial", examples=["shared"])
    """`trial`: one process per trial. `shared` (formerly `card`, which is still read): one
    process per GPU (without GPUs: per machine) trains all of its trials in turns, a batch of
    each, with one CUDA context and one copy of the data; `gpu`, which must be below 1, determines
    how many. Results are the same as in separate processes. A trial that runs out of memory
    continues with its batches in halves. If the process dies, all its trials resume from their
    checkpoints. Intended for GPUs; on CPUs the trials of a machine share one core's time. Not yet
    measured on a GPU."""

    @field_validator("gpu")
    @classmethod
    def _check_gpu(cls, gpu: float | Literal["auto"]) -> float | Literal["auto"]:
        if gpu != "auto" and gpu > 1 and not gpu.is_integer():
            raise ValueError(f"must be whole above 1, found {gpu}")
        return gpu

    @field_validator("process", mode="before")
    @classmethod
    def _read_old_name(cls, process: Any) -> Any:
        if process != "card":
            return process
        logging.getLogger(__name__).warning('note: resources.process: "card" is now "shared"')
        return "shared"

    @field_validator("process")
    @classmethod
    def _check_shared_process(cls, process: str, info: ValidationInfo) -> str:
        gpu = info.data.get("gpu", 0)
        if process == "shared" and gpu != "auto" and gpu >= 1:
            raise ValueError(
                f"must be trial where a trial has whole GPUs (gpu {gpu:g}), found shared"
            )
        return process


def _read_duration(value: Any) -> Any:
    """Returns the seconds of a text such as `30m`; any other value as it is."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value.strip())
    if parts is None:
        raise ValueError(f'must be seconds or a text such as 90s, 30m, 4h, found "{value}"')
    return float(parts[1]) * _UNIT_S[parts[2]]


class FailurePolicy(Section):
    """`failure`: what is done about a failed trial, by cause."""

    max_retries: int = Field(default=2, ge=0, examples=[0])
    """Retries from the last checkpoint. Running out of memory and lost workers do not count.
    Errors that a retry cannot change are not retried: those of the data, the configuration, a
    checkpoint, and mistakes in code, such as a `TypeError`."""
    stop_after: Literal["never"] | PositiveInt = Field(default=5, examples=[3])
    """The sweep pauses when so many trials in a row fail before their first epoch with the same
    cause and message, and others are left."""
    epoch_timeout: float | None = Field(default=None, gt=0, examples=["30m"])
    """Seconds, or a text such as `90s`, `30m`, `4h`, without an epoch after which a trial's worker
    is ended and the trial is retried, `max_retries` times; the first epoch includes the start of
    the training. null means never. Not with `resources.process: shared`."""
    oom: Literal["exclusive_then_halve_batch", "give_up"] = Field(
        default="exclusive_then_halve_batch", examples=["give_up"]
    )
    """After running out of memory, retry alone on a whole GPU (without GPUs: a whole machine),
    then with each batch run in halves; or give up."""
    oom_memory: bool = Field(default=True, examples=[False])
    """An out-of-memory failure is remembered, also for later sweeps of the same model, images and
    precision on the same GPU. Trials with batches of that size or more then start with smaller
    parts of their batches (gradients are the same, statistics of batch norm are not), or are
    skipped with `oom: give_up`; a line says so. Not with `resources.process: shared`."""
    nan: Literal["stop"] = Field(default="stop", examples=["stop"])
    """A loss that is not finite stops the trial, which counts as failed; its last good checkpoint
    stays."""

    @field_validator("epoch_timeout", mode="before")
    @classmethod
    def _to_seconds(cls, timeout: Any) -> Any:
        return _read_duration(timeout)


class Keep(Section):
    """`keep`: which checkpoint files stay; configs and metrics always do."""

    epochs: Literal["all"] | Annotated[int, Field(ge=0)] = Field(default="all", examples=[2])
    """Number of a trial's newest `epoch_NNNN.pt` files to keep."""
    trials: Literal["all"] | PositiveInt = Field(default="all", examples=["top 5"])
    """Number of completed trials, the best, that keep their weights."""
    min_free_gib: float = Field(default=0.5, ge=0, examples=[2])
    """Free disk space in GiB below which no trial saves and the sweep pauses."""

    @field_validator("trials", mode="before")
    @classmethod
    def _parse_top(cls, trials: Any) -> Any:
        match = re.fullmatch(r"top\s+(\d+)", trials.strip()) if isinstance(trials, str) else None
        return trials if match is None else int(match[1])


class Hooks(Section):
    """`hooks`: commands that are run on a new best trial and at the end; none by default.

    A command gets the event as JSON on its standard input. Its failure does not affect the sweep.
    """

    on_best: str | None = Field(default=None, examples=["./notify.sh best"])
    """Command for a new best trial of the sweep, run at most once per second; only the newest is
    reported."""
    on_finish: str | None = Field(default=None, examples=["./notify.sh finish"])
    """Command for the end or a pause of the sweep, which waits for it."""
    timeout: float = Field(default=30, gt=0, examples=[5])
    """Seconds after which the command and all its child processes are killed."""

    @field_validator("on_best", "on_finish")
    @classmethod
    def _check_command(cls, command: str | None) -> str | None:
        if command is None:
            return None
        if _is_url(command):
            raise ValueError(f"must be a command, found {_URL_NOT_CALLED}")
        try:
            words = shlex.split(command)
        except ValueError:
            words = []
        if not words:  # the value is not shown: it may hold a secret
            raise ValueError("must be a command with its quotes closed")
        return command


_URL_NOT_CALLED = (
    "a URL; URLs are no longer called, write this command instead: "
    "curl -fsS -H Content-Type:application/json -d @- URL"
)


def _is_url(hook: str) -> bool:
    return hook.lower().startswith(("http://", "https://"))


def drop_url_hooks(hooks: Any) -> Any:
    """Returns a recorded sweep's `hooks` without URLs, which earlier versions called.

    Logs one line for each, so that such a sweep can still be read and resumed.
    """
    if not isinstance(hooks, Mapping):
        return hooks
    urls = {key for key, hook in hooks.items() if isinstance(hook, str) and _is_url(hook)}
    for key in sorted(urls):
        logging.getLogger(__name__).warning("note: hooks.%s was %s", key, _URL_NOT_CALLED)
    return {key: hook for key, hook in hooks.items() if key not in urls}
