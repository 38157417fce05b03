"""The sections of the search file but for its space and algorithms: every key and default."""

from __future__ import annotations

import logging
import re
import secrets
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from sweeps.spec.schedulers import FIFO, SchedulerConfig
from sweeps.spec.search_algorithms import RandomSearch, SearchAlgorithmConfig
from trainable.config.names import check_name
from trainable.config.schema import Items, Section

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "best_acc")
"""What a trial reports at every epoch and a sweep can be ranked by."""

OBJECTIVES = (*METRICS, "epoch_s", "images_per_s", "peak_memory_gib")
"""What `pareto` may name."""

Mode = Literal["max", "min"]

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

SEEDS = 2**63
"""Seeds lie below."""


class Final(Section):
    """`tune.final`: what follows when every trial has ended."""

    top: PositiveInt
    """How many of the best configurations."""
    repeats: PositiveInt
    """Trials of each, under seeds that it has not been trained with; they run all their epochs."""


def count_trials(configurations: int, repeats: int, final: tuple[int, int] | None) -> int:
    """Trials of a sweep.

    Args:
        configurations: `num_samples`.
        repeats: Trials of each.
        final: `top` and `repeats` of `final`; None without it.
    """
    top, again = final or (0, 0)
    return configurations * repeats + min(top, configurations) * again


class Tune(Section):
    """`tune`: what to optimise, how many trials, which algorithms."""

    metric: str = "val_acc"
    mode: Mode
    """`min` by default for a loss, `max` otherwise."""
    pareto: dict[str, Mode] = {}
    """More metrics, by name, each with its mode: the sweep looks for trials that no other one
    beats in all of them."""
    target: float | None = None
    """The sweep ends when a trial's metric has come so far; null means never."""
    num_samples: PositiveInt
    """Configurations in all; the size of the grid by default where search_alg is grid."""
    repeats: PositiveInt = 1
    """Trials of each configuration, under different seeds; it is ranked by their mean."""
    final: Final | None = None
    """The best configurations are trained again at the end; null means they are not."""
    points_to_evaluate: Items[dict[str, Any]] = ()
    """Values that the first trials begin with; keys that are left out are drawn."""
    search_alg: SearchAlgorithmConfig = RandomSearch()
    scheduler: SchedulerConfig = FIFO()
    max_concurrent_trials: Literal["auto"] | PositiveInt = "auto"
    """`auto` means as many as the machines hold."""
    time_budget: float | None = Field(default=None, gt=0)
    """Seconds, or a text such as `90s`, `30m`, `4h`, `2d`, after which a run of the sweep is
    paused; null means none."""
    warm_start: str | None = None
    """Directory of an earlier sweep whose ended trials a search_alg that learns begins from."""
    seed: int = Field(ge=0, lt=SEEDS)
    """What the draws depend on; drawn when null."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Defaults that depend on other keys, and algorithms that are given by name alone."""
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for key in ("search_alg", "scheduler"):
            if isinstance(filled.get(key), str):
                filled[key] = {"name": filled[key]}
        if filled.get("mode") is None:
            filled["mode"] = "min" if str(filled.get("metric")).endswith("_loss") else "max"
        if filled.get("seed") is None:
            filled["seed"] = secrets.randbelow(2**32)
        return filled

    @field_validator("time_budget", mode="before")
    @classmethod
    def _seconds(cls, budget: Any) -> Any:
        if not isinstance(budget, str):
            return budget
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", budget.strip())
        if found is None:
            raise ValueError(f'must be seconds or a text such as 90s, 30m, 4h, found "{budget}"')
        return float(found[1]) * SECONDS[found[2]]

    @field_validator("metric")
    @classmethod
    def _reported(cls, metric: str) -> str:
        return check_name(metric, METRICS)

    @field_validator("pareto")
    @classmethod
    def _reported_too(cls, pareto: dict[str, Mode]) -> dict[str, Mode]:
        for metric in pareto:
            check_name(metric, OBJECTIVES)
        return pareto

    @property
    def metrics(self) -> dict[str, Mode]:
        """`metric` and those of `pareto`, each with its mode."""
        return {self.metric: self.mode, **self.pareto}


class Resources(Section):
    """`resources`: what each trial gets."""

    cpu: float = Field(default=1, gt=0)
    gpu: Literal["auto"] | Annotated[float, Field(ge=0)] = 0.0
    """A fraction shares a GPU with other trials; `auto` is measured before the first trial."""
    process: Literal["trial", "shared"] = "trial"
    """`trial`: one process per trial. `shared`: one process per GPU trains all of its trials in
    turns, a batch of each, with one CUDA context and one data set for all."""

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float | Literal["auto"]) -> float | Literal["auto"]:
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


class FailurePolicy(Section):
    """`failure`: what is done about a failed trial, by cause."""

    max_retries: int = Field(default=2, ge=0)
    """Retries from the last checkpoint; running out of memory and lost workers are not counted."""
    oom: Literal["exclusive_then_halve_batch", "give_up"] = "exclusive_then_halve_batch"
    """Out of memory: again alone on a whole card, then with batches run in halves; or never."""
    nan: Literal["stop"] = "stop"
    """A loss that is not finite ends the trial, which counts as failed."""


class Keep(Section):
    """`keep`: which checkpoint files stay; configs and metrics always do."""

    epochs: Literal["all"] | Annotated[int, Field(ge=0)] = "all"
    """How many of a trial's `epoch_NNNN.pt` stay, the newest."""
    trials: Literal["all"] | PositiveInt = "all"
    """How many of the ended trials keep their weights, the best; also written `top 5`."""
    min_free_gib: float = Field(default=0.5, ge=0)
    """Free space in GiB below which no trial saves and the sweep is paused."""

    @field_validator("trials", mode="before")
    @classmethod
    def _top(cls, trials: Any) -> Any:
        found = re.fullmatch(r"top\s+(\d+)", trials.strip()) if isinstance(trials, str) else None
        return trials if found is None else int(found[1])


class Hooks(Section):
    """`hooks`: commands that are run on a new best trial and at the end; none by default.

    A command gets the event as JSON on its standard input. Its failure does not affect the sweep.
    """

    on_best: str | None = None
    """Run when a trial beats the best so far; at most once a second."""
    on_finish: str | None = None
    """Run when the sweep has finished or is paused."""
    timeout: float = Field(default=30, gt=0)
    """Seconds after which a command is killed."""

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
    'curl -fsS -H "Content-Type: application/json" -d @- URL'
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
