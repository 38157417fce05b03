"""What a sweep will do, said before it starts: its draws, its rungs, where trials run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sweeps.cluster.placement import per_card, places, spread
from sweeps.planning.expected_epochs import Expectation, expected
from sweeps.search.searcher import Searcher
from sweeps.space.search_space import Values
from sweeps.spec.search_algorithms import LEARNING, THROUGH_RAY, BOHBSearch
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepError
from trainable.atomic_files import write_text
from trainable.config import parse_config
from trainable.config.yaml_reader import dump_yaml

LOOKED_AT = 256
"""Draws that averages are taken over."""
FEW = 16
"""Of searchers that take their time for each."""


@dataclass(frozen=True)
class Placement:
    """Where the trials of a sweep run on one machine."""

    cpus: int
    cards: int
    share: Mapping[str, float]
    """What one trial takes: `cpu`, `gpu`."""
    at_once: int
    """Trials; 0 where not even one has its share."""

    @property
    def per_card(self) -> int | None:
        """Trials that share a card, at most; None without any."""
        gpu = self.share["gpu"]
        if not 0 < gpu <= 1:
            return None
        machine = {"CPU": float(self.cpus), "GPU": float(self.cards)}
        return per_card(spread(self.share, [machine], self.at_once).share["gpu"])


@dataclass(frozen=True)
class Plan:
    """What is known of a sweep before it runs."""

    spec: SearchSpec
    draws: list[Values]
    """The first of them, at most `LOOKED_AT`; of Ray's searchers, `FEW`."""
    known: int
    """How many draws do not depend on how trials end."""
    expectation: Expectation
    """Of the search; trials of `final` run all their epochs."""
    placement: Placement

    @property
    def finals(self) -> int:
        """Trials of `final`."""
        tune = self.spec.tune
        return self.spec.trials - tune.num_samples * tune.repeats

    @property
    def epochs(self) -> float:
        """Epochs of a trial that nothing ends early: the mean over the draws."""
        given = parse_config(self.spec.config).training.epochs
        return fmean(float(draw.get("training.epochs", given)) for draw in self.draws)

    @property
    def all_epochs(self) -> float:
        """Epochs of all trials if nothing ends early."""
        return self.spec.trials * self.epochs

    @property
    def expected_epochs(self) -> tuple[float, float]:
        """Epochs that are to be expected of all trials: at least, and at most."""
        search = (self.spec.trials - self.finals) * self.epochs
        finals = self.finals * self.epochs
        found = self.expectation
        return search * found.low + finals, search * found.high + finals


def make_plan(spec: SearchSpec, machine: Mapping[str, float]) -> Plan:
    """Plans a sweep.

    Args:
        spec: A checked search file.
        machine: What it is to run on, as Ray names it: `CPU`, `GPU`.
    """
    searched = spec.tune.num_samples * spec.tune.repeats
    return Plan(
        spec,
        list(_draws(spec, FEW if isinstance(spec.tune.search_alg, THROUGH_RAY) else LOOKED_AT)),
        _known(spec),
        expected(spec.tune.scheduler, trials=searched, epochs=spec.max_epochs),
        _placement(spec, machine),
    )


def _draws(spec: SearchSpec, most: int) -> Iterator[Values]:
    """The first draws, as they are while no trial has ended."""
    searcher = Searcher(spec)
    for number in range(min(spec.tune.num_samples, most)):
        values = searcher.suggest(number)
        if values is None:
            return
        yield values


def _known(spec: SearchSpec) -> int:
    tune = spec.tune
    if tune.search_alg.name not in LEARNING:
        return tune.num_samples
    if isinstance(tune.search_alg, BOHBSearch):
        known = tune.search_alg.min_points_in_model or len(spec.space) + 1
    elif tune.warm_start is not None:
        known = 0
    else:
        known = getattr(tune.search_alg, "n_startup_trials", 1)
    return min(tune.num_samples, max(known, len(tune.points_to_evaluate)))


def _placement(spec: SearchSpec, machine: Mapping[str, float]) -> Placement:
    cpus, cards = int(machine["CPU"]), int(machine["GPU"])
    # What `auto` will come to is not known: a whole card is the most.
    gpu = 1.0 if spec.resources.gpu == "auto" else float(spec.resources.gpu)
    share = {"cpu": float(spec.resources.cpu), "gpu": gpu if cards else 0.0}
    limit = spec.tune.max_concurrent_trials
    at_once = min(places(share, machine), spec.trials)
    return Placement(cpus, cards, share, at_once if limit == "auto" else min(at_once, limit))


def first_configs(plan: Plan, count: int) -> list[dict[str, Any]]:
    """The complete training configs of the first draws."""
    return [plan.spec.trial_config(values, n) for n, values in enumerate(plan.draws[:count])]


def configs(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every trial of the search whose draw is known: a name by number, and its training config."""
    spec = plan.spec
    draws = _draws(spec, plan.known)
    digits = len(str(spec.tune.num_samples - 1))
    for number, values in enumerate(draws):
        for repeat in range(spec.tune.repeats):
            name = f"{number:0{digits}d}" + (f"_{repeat}" if spec.tune.repeats > 1 else "")
            yield name, spec.trial_config(values, number, repeat)


def write_configs(plan: Plan, directory: Path) -> int:
    """Writes the training config of every trial whose draw is known, one file each.

    Args:
        plan: Of the sweep.
        directory: Where; made if it is not there.

    Returns:
        How many.

    Raises:
        SweepError: There is something in the directory.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SweepError(f"{directory} is not empty; give a new directory")
    count = 0
    for name, config in configs(plan):
        path = directory / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, f"# python -m trainable {path}\n{dump_yaml(config)}")
        count += 1
    return count
