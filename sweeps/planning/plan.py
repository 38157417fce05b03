"""Plans a sweep before it starts: its draws, its rungs, how many trials run concurrently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sweeps.cluster.placement import spread_over_gpus, trials_per_gpu, trials_per_machine
from sweeps.planning.expected_epochs import Expectation, estimate_epochs
from sweeps.search.searcher import Searcher
from sweeps.space.search_space import Values
from sweeps.spec.search_algorithms import LEARNING, BOHBSearch, OptunaSearch, RandomSearch
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.commands import train_command
from trainable.atomic_files import write_text
from trainable.config import TrainConfig
from trainable.config.yaml_reader import dump_yaml

MAX_DRAWS = 256
"""Draws that averages are taken over."""


@dataclass(frozen=True)
class Concurrency:
    """Trials of a sweep that run concurrently on one machine."""

    cpus: int
    gpus: int
    share: Mapping[str, float]
    """Resources of one trial: `cpu`, `gpu`."""
    trials: int
    """Concurrent trials; 0 if the machine is too small for one."""

    @property
    def trials_per_gpu(self) -> int | None:
        """Most trials that share a GPU; None if they do not use a fraction or one GPU each."""
        gpu = self.share["gpu"]
        if not 0 < gpu <= 1:
            return None
        machine = {"CPU": float(self.cpus), "GPU": float(self.gpus)}
        return trials_per_gpu(spread_over_gpus(self.share, [machine], self.trials).share["gpu"])


@dataclass(frozen=True)
class Plan:
    """A sweep as far as it is known before it runs."""

    spec: SearchSpec
    draws: list[Values]
    """The first draws, at most `MAX_DRAWS`."""
    fixed_draws: int
    """Number of draws that do not depend on results of trials."""
    expectation: Expectation
    """Epochs of the search; the trials of `final` train all their epochs."""
    concurrency: Concurrency

    @property
    def finals(self) -> int:
        """Number of trials of `final`."""
        tune = self.spec.tune
        return self.spec.trials - tune.num_samples * tune.repeats

    @property
    def epochs(self) -> float:
        """Epochs of a trial that is not stopped early: the mean over the draws."""
        default = self.spec.training.training.epochs
        return fmean(float(draw.get("training.epochs", default)) for draw in self.draws)

    @property
    def all_epochs(self) -> float:
        """Epochs of all trials if none is stopped early."""
        return self.spec.trials * self.epochs

    @property
    def expected_epochs(self) -> tuple[float, float]:
        """Expected epochs of all trials: (least, most)."""
        search = (self.spec.trials - self.finals) * self.epochs
        finals = self.finals * self.epochs
        shares = self.expectation
        return search * shares.low + finals, search * shares.high + finals


def make_plan(spec: SearchSpec, machine: Mapping[str, float]) -> Plan:
    """Plans a sweep.

    Args:
        spec: A checked search file.
        machine: Resources of the machine under Ray's names: `CPU`, `GPU`.
    """
    searched = spec.tune.num_samples * spec.tune.repeats
    return Plan(
        spec,
        list(_sample_draws(spec, MAX_DRAWS)),
        _count_fixed_draws(spec),
        estimate_epochs(spec.tune.scheduler, trials=searched, epochs=spec.max_epochs),
        _plan_concurrency(spec, machine),
    )


def draw_of_trial(spec: SearchSpec, number: int) -> tuple[Values, bool]:
    """Returns one of the first draws of a sweep, and whether it depends on no results of trials.

    Args:
        spec: A checked search file.
        number: 0-based number of the draw.

    Raises:
        SweepError: There is no such draw.
    """
    draws = list(_sample_draws(spec, number + 1))
    if number >= len(draws):
        raise SweepError(f"there is no draw {number}: the search has {len(draws)}, from 0 on")
    return draws[number], number < _count_fixed_draws(spec)


def _sample_draws(spec: SearchSpec, most: int) -> Iterator[Values]:
    """Samples the first draws, as the sweep does while no trial has ended.

    A custom sampler is code of the user's, which a plan does not run: random draws stand for it.
    """
    if _has_custom_sampler(spec):
        tune = spec.tune.model_copy(update={"search_alg": RandomSearch()})
        spec = spec.model_copy(update={"tune": tune})
    searcher = Searcher(spec)
    for number in range(min(spec.tune.num_samples, most)):
        values = searcher.suggest(number)
        if values is None:
            return
        yield values


def _has_custom_sampler(spec: SearchSpec) -> bool:
    search = spec.tune.search_alg
    return isinstance(search, OptunaSearch) and search.is_custom


def _count_fixed_draws(spec: SearchSpec) -> int:
    tune = spec.tune
    if tune.search_alg.name not in LEARNING:
        return tune.num_samples
    if isinstance(tune.search_alg, BOHBSearch):
        startup = tune.search_alg.min_points_in_model or len(spec.space) + 1
    elif tune.warm_start is not None or _has_custom_sampler(spec):
        startup = 0
    else:
        startup = getattr(tune.search_alg, "n_startup_trials", 1)
    return min(tune.num_samples, max(startup, len(tune.points_to_evaluate)))


def _plan_concurrency(spec: SearchSpec, machine: Mapping[str, float]) -> Concurrency:
    cpus, gpus = int(machine["CPU"]), int(machine["GPU"])
    # The result of `auto` is not known yet; a whole GPU is the most that it can be.
    gpu = 1.0 if spec.resources.gpu == "auto" else float(spec.resources.gpu)
    share = {"cpu": float(spec.resources.cpu), "gpu": gpu if gpus else 0.0}
    limit = spec.tune.max_concurrent_trials
    trials = min(trials_per_machine(share, machine), spec.trials)
    return Concurrency(cpus, gpus, share, trials if limit == "auto" else min(trials, limit))


def first_configs(plan: Plan, count: int) -> list[TrainConfig]:
    """Returns the training configs of the first draws."""
    return [plan.spec.trial_config(values, n) for n, values in enumerate(plan.draws[:count])]


def fixed_configs(plan: Plan) -> Iterator[tuple[str, TrainConfig]]:
    """Yields (name by number, training config) of every trial whose draw is fixed."""
    spec = plan.spec
    digits = len(str(spec.tune.num_samples - 1))
    for number, values in enumerate(_sample_draws(spec, plan.fixed_draws)):
        for repeat in range(spec.tune.repeats):
            name = f"{number:0{digits}d}" + (f"_{repeat}" if spec.tune.repeats > 1 else "")
            yield name, spec.trial_config(values, number, repeat)


def write_configs(plan: Plan, directory: Path) -> int:
    """Writes the training config of every trial whose draw is fixed, one file each.

    Args:
        plan: The sweep's plan.
        directory: The directory for the files; created if it does not exist.

    Returns:
        The number of files.

    Raises:
        SweepError: The directory is not empty.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SweepError(f"{directory} is not empty; give a new directory")
    count = 0
    for name, config in fixed_configs(plan):
        path = directory / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        command = train_command(path, allow_custom_model=bool(config.own_code))
        write_text(path, f"# {command}\n{dump_yaml(config.to_dict())}")
        count += 1
    return count
