"""The verb that says what a sweep will do before it starts: plan."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import rich.box
from rich.table import Table

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, AS_JSON, FINISHED, SET_IN_SEARCH, exits
from sweeps.cli.validate import check_sampler_of_optuna, check_warm_start
from sweeps.terminal.console import print_json, print_line, print_table
from sweeps.terminal.formatting import format_duration, format_size, format_value, quote_path
from trainable.errors import TuneSweepsError

if TYPE_CHECKING:
    from sweeps.planning.cost import Forecast, ProbedDraw
    from sweeps.planning.plan import Plan

SHOWN = 5
"""Draws that are shown, and their training configs."""


@click.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@SET_IN_SEARCH
@click.option(
    "--probe",
    "probes",
    is_flag=True,
    help="Train a few batches of the first draws here: adds time and memory.",
)
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the training config of every draw that is known, for python -m trainable.",
)
@AS_JSON
@ALLOW_CUSTOM_MODEL
@exits
def plan(
    search_file: Path,
    assignments: tuple[str, ...],
    probes: bool,
    target: Path | None,
    as_json: bool,
    allow_custom_model: bool,
) -> int:
    """Says what the sweep of SEARCH_FILE will do: trials, draws, rungs, where they run.

    Example: sweep plan configs/search.yaml --probe
    """
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments

    spec = load_search(search_file, parse_assignments(assignments))
    check_warm_start(spec)
    check_sampler_of_optuna(spec)
    from sweeps.cluster.placement import this_machine
    from sweeps.planning.plan import make_plan, write_configs

    machine, probed, cost, about_gpu = this_machine(), None, None, None
    if probes:
        from sweeps.planning.gpu_sharing import measure_copies, resolve_gpu
        from trainable.profiling.cost import gpu_count

        machine["GPU"] = float(gpu_count())
        measure = partial(measure_copies, spec, allow_custom_model=allow_custom_model)
        spec, about_gpu = resolve_gpu(spec, [machine], measure)
    found = make_plan(spec, machine)
    if probes:
        from sweeps.planning.cost import forecast, probe

        probed = probe(found, allow_custom_model=allow_custom_model)
        cost = forecast(found, probed)
    disk, about_disk = _disk(found, cost, allow_custom_model)
    written = None if target is None else write_configs(found, target)
    if as_json:
        print_json(_as_data(found, probed, cost, disk, written))
        return FINISHED
    _say_plan(found)
    if about_gpu is not None:
        print_line(about_gpu)
    _say_cost(probed, cost)
    print_line(f"disk: {about_disk}")
    if target is not None:
        print_line(
            f"wrote {written} training configs: python -m trainable {quote_path(target)}/..."
        )
    return FINISHED


def _disk(
    found: Plan, cost: Forecast | None, allow_custom_model: bool
) -> tuple[tuple[int, int] | None, str]:
    """Bytes of checkpoints, at least and at most, and what is said about them."""
    if not found.spec.training.checkpoint.enabled:
        return (0, 0), "no checkpoints; checkpoint.enabled is false"
    if cost is not None:
        low, high = cost.disk_bytes
    else:
        from sweeps.planning.cost import predict_disk_bytes

        try:
            low, high = predict_disk_bytes(found, allow_custom_model=allow_custom_model)
        except TuneSweepsError as error:
            return None, f"not known: {error}"
    span = (
        format_size(low)
        if format_size(low) == format_size(high)
        else f"{format_size(low)} to {format_size(high)}"
    )
    return (low, high), f"{span} of checkpoints"


def _say_plan(found: Plan) -> None:
    spec, tune = found.spec, found.spec.tune
    copies = f" x {tune.repeats} repeats" if tune.repeats > 1 else ""
    finals = f" + {found.finals} of final" if found.finals else ""
    what = f"{_count(tune.num_samples, 'configuration')}{copies}{finals}"
    print_line(f"{what}: {_count(spec.trials, 'trial')} in all")
    print_line(_about_draws(found))
    for number, values in enumerate(found.draws[:SHOWN]):
        text = ", ".join(f"{key}: {format_value(value)}" for key, value in values.items())
        print_line(f"  {number}  {text or 'nothing but another seed'}")
    if tune.num_samples > SHOWN:
        print_line("  ...")
    _say_configs(found)
    print_line(f"scheduler {tune.scheduler.name}: {_about_rungs(found)}")
    print_line(f"epochs: {_about_epochs(found)}")
    print_line(f"at once: {_about_places(found)}")
    if tune.time_budget is not None:
        print_line(f"budget: a run is paused after {format_duration(tune.time_budget)}")


def _say_configs(found: Plan) -> None:
    """The whole training config of the first draw, and where those of the next ones differ."""
    from sweeps.planning.plan import first_configs

    first, *others = [config.to_dict() for config in first_configs(found, SHOWN)]
    print_line("training config of draw 0:")
    for section, keys in first.items():
        print_line(f"  {section}: {_flow(keys)}")
    for number, config in enumerate(others, start=1):
        differing = {key: keys for key, keys in config.items() if keys != first[key]}
        print_line(f"training config of draw {number}: the same" + " but for" * bool(differing))
        for section, keys in differing.items():
            print_line(f"  {section}: {_flow(keys)}")


def _flow(keys: Any) -> str:
    """Plain values as one line of YAML."""
    import yaml

    line: str = yaml.safe_dump(keys, default_flow_style=True, sort_keys=False, width=sys.maxsize)
    return line.strip()


def _about_draws(found: Plan) -> str:
    tune = found.spec.tune
    name, known, wanted = tune.search_alg.name, found.fixed_draws, tune.num_samples
    if known == wanted:
        return f"draws, by {name}; none depends on how trials end"
    if tune.warm_start is not None:
        return f"draws, by {name}, as they would be without warm_start"
    first = "the first" if known == 1 else f"the first {known}"
    return f"draws, by {name}; those after {first} depend on how trials end"


def _about_rungs(found: Plan) -> str:
    from sweeps.spec.schedulers import PB2, PBT

    rungs, last = found.expectation.rungs, found.spec.max_epochs
    scheduler = found.spec.tune.scheduler
    if isinstance(scheduler, PBT | PB2):
        every, share = scheduler.perturbation_interval, scheduler.quantile_fraction
        each = f"the worst {share:.0%} may go on from the best {share:.0%}"
        return f"every trial has {last} epochs; {each} every {every} epochs"
    if not rungs:
        return f"no trial ends before its {last} epochs"
    if found.expectation.low < found.expectation.high:
        return f"a trial may end from epoch {rungs[0].epoch} on"
    steps = [f"{rung.trials:.1f} come to epoch {rung.epoch}" for rung in rungs]
    return f"expected: {', '.join(steps)}, {found.expectation.finished:.1f} to the end"


def _about_epochs(found: Plan) -> str:
    low, high = found.expected_epochs
    everything = found.all_epochs
    if low == high == everything:
        text = f"{everything:.0f}"
    elif low == high:
        text = (
            f"{low:.0f} of {everything:.0f} ({low / everything:.0%}) are expected to run; more "
            "where trials overtake one another"
        )
    else:
        text = f"{low:.0f} to {high:.0f}, which depends on the curves"
    tune = found.spec.tune
    if tune.target is not None:
        text += f"; fewer if {tune.metric} comes to {tune.target:g}"
    return text


def _about_places(found: Plan) -> str:
    place, resources = found.concurrency, found.spec.resources
    cards = _count(place.gpus, "GPU") if place.gpus else "no GPU"
    machine = f"this machine ({_count(place.cpus, 'CPU')}, {cards})"
    if os.environ.get("RAY_ADDRESS"):
        machine += "; the cluster that RAY_ADDRESS names has not been asked"
    each = _count(place.share["cpu"], "CPU")
    if resources.gpu == "auto":
        found_at = "measured when the sweep starts" if place.gpus else "0 without a GPU"
        each += " and at most 1 GPU" * bool(place.gpus)
        each += f" (resources.gpu auto: {found_at})"
    elif place.share["gpu"]:
        each += f" and {_count(place.share['gpu'], 'GPU')}"
    elif resources.gpu:
        each += f" (resources.gpu {resources.gpu:g} is taken as 0)"
    if not place.trials:
        return f"not one trial has its {each} on {machine}"
    on_card = f", {place.trials_per_gpu} to a card" if (place.trials_per_gpu or 1) > 1 else ""
    least = "at least " if resources.gpu == "auto" and place.gpus else ""
    return f"{least}{_count(place.trials, 'trial')}{on_card}, each with {each}, on {machine}"


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _say_cost(probed: list[ProbedDraw] | None, cost: Forecast | None) -> None:
    if probed is None or cost is None:
        print_line("time: not known without a look at the model; add --probe")
        return
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("draw", "model", "batch", "parameters", "s an epoch", "GiB", "checkpoint"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in probed:
        measured, config = each.cost, each.config
        table.add_row(
            str(each.number),
            config.model.name,
            str(config.training.batch_size),
            f"{measured.parameters:,}",
            f"{measured.epoch_s:.3g}",
            f"{measured.peak_memory_gib:.2f}",
            format_size(measured.checkpoint_bytes),
        )
    device = probed[0].cost.device
    table.caption = f"on {device}, one trial alone"
    if device == "cpu":
        table.caption += "; GiB: of this process"
    print_table(table)
    print_line(f"time: {format_duration(cost.seconds[0])} to {format_duration(cost.seconds[1])}")


def _as_data(
    found: Plan,
    probed: list[ProbedDraw] | None,
    cost: Forecast | None,
    disk: tuple[int, int] | None,
    written: int | None,
) -> dict[str, Any]:
    from sweeps.planning.plan import first_configs

    spec, place = found.spec, found.concurrency
    return {
        "name": spec.name,
        "configurations": spec.tune.num_samples,
        "repeats": spec.tune.repeats,
        "finals": found.finals,
        "trials": spec.trials,
        "known_draws": found.fixed_draws,
        "draws": found.draws,
        "configs": [config.to_dict() for config in first_configs(found, SHOWN)],
        "rungs": [vars(rung) for rung in found.expectation.rungs],
        "epochs_a_trial": found.epochs,
        "all_epochs": found.all_epochs,
        "expected_epochs": found.expected_epochs,
        "machine": {"cpus": place.cpus, "cards": place.gpus},
        "gpu": spec.resources.gpu,
        "share": place.share,
        "at_once": place.trials,
        "per_card": place.trials_per_gpu,
        "probe": probed
        and [{"draw": p.number, "values": p.values, **vars(p.cost)} for p in probed],
        "seconds": cost and cost.seconds,
        "disk_bytes": disk,
        "written": written,
    }
