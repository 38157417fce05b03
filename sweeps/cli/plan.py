"""The commands that show what a sweep will do before it starts: plan, preview and data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from sweeps.cli.options import (
    ALLOW_CUSTOM_MODEL,
    AS_JSON,
    BAD_INPUT,
    FINISHED,
    PATH,
    SET_IN_SEARCH,
    exits,
    writing,
)
from sweeps.cli.validate import check_warm_start
from sweeps.terminal.commands import train_command
from sweeps.terminal.console import print_error, print_json, print_line, print_note, print_table

Command = Callable[..., Any]
DEFAULT_PICTURE = Path("preview.png")
DEFAULT_IMAGES = 8


@click.command()
@click.argument("search_file", type=PATH)
@SET_IN_SEARCH
@click.option(
    "--probe",
    "probes",
    is_flag=True,
    help="Train a few batches of the first draws on this machine to estimate time and memory.",
)
@click.option(
    "--write",
    "target",
    type=PATH,
    metavar="DIR",
    help="Write the training config of every draw that is already known, for python -m trainable.",
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
    """Shows what a sweep will do before it starts.

    Prints the number of trials, the first draws and their training configs, the epochs at which
    the scheduler stops trials, the concurrent trials and the disk space of the sweep that
    SEARCH_FILE describes.

    Example: sweep plan configs/search.yaml --probe
    """
    from sweeps.preflight.checks import refuse_failing_sweep
    from sweeps.results.commands import own_code
    from sweeps.search.sampler_check import check_optuna_sampler
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec
    from trainable.preflight.background import Options

    spec = load_search(search_file, parse_assignments(assignments, SearchSpec))
    check_warm_start(spec.tune.warm_start)
    check_optuna_sampler(spec)
    refuse_failing_sweep(spec, Options(allow_custom_model, decode_all=probes))
    from sweeps.cluster.placement import this_machine
    from sweeps.planning import description
    from sweeps.planning.plan import make_plan, write_configs

    machine, probed, cost, gpu_decision = this_machine(), None, None, None
    if probes:
        from sweeps.planning.gpu_sharing import measure_copies, resolve_gpu
        from trainable.profiling.cost import gpu_count

        machine["GPU"] = float(gpu_count())
        measure = partial(measure_copies, spec, allow_custom_model=allow_custom_model)
        spec, gpu_decision = resolve_gpu(spec, [machine], measure)
    plan = make_plan(spec, machine)
    if probes:
        from sweeps.planning.cost import forecast, probe

        probed = probe(plan, allow_custom_model=allow_custom_model)
        cost = forecast(plan, probed)
    disk, disk_text = description.estimate_disk(plan, cost, allow_custom_model=allow_custom_model)
    written = None
    if target is not None:
        with writing(target):
            written = write_configs(plan, target)
    if as_json:
        print_json(description.plan_values(plan, probed, cost, disk, written))
        return FINISHED
    for line in description.describe_plan(plan):
        print_line(line)
    if gpu_decision is not None:
        print_line(gpu_decision)
    if probed is not None:
        print_table(description.describe_cost(probed))
    print_line(f"time: {description.describe_time(cost)}")
    print_line(f"disk: {disk_text}")
    if target is not None:
        _print_written(target, written, own_code=bool(own_code(spec.to_dict())))
    return FINISHED


def _print_written(target: Path, count: int | None, *, own_code: bool) -> None:
    command = train_command(min(target.glob("*.yaml")), allow_custom_model=own_code)
    print_line(f"wrote {count} training configs; train one: {command}")


def _draw_option(what: str) -> Callable[[Command], Command]:
    return click.option(
        "--trial",
        "number",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help=f"Number of {what}, as in sweep plan; 0 by default.",
    )


def _images_option(what: str) -> Callable[[Command], Command]:
    return click.option(
        "--images",
        type=click.IntRange(1, 64),
        default=DEFAULT_IMAGES,
        metavar="N",
        help=f"{what}; {DEFAULT_IMAGES} by default.",
    )


@click.command()
@click.argument("search_file", type=PATH)
@SET_IN_SEARCH
@_draw_option("the draw")
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=DEFAULT_PICTURE,
    metavar="FILE",
    help="The PNG file; preview.png by default. One that exists is replaced.",
)
@_images_option("Number of images")
@ALLOW_CUSTOM_MODEL
@exits
def preview(
    search_file: Path,
    assignments: tuple[str, ...],
    number: int,
    output: Path,
    images: int,
    allow_custom_model: bool,
) -> int:
    """Writes a picture of augmented training images.

    Its rows are training images of the data that SEARCH_FILE names. The first column has them as
    they are, the others as the first epochs of a trial draw them with its `augment` section, with
    the labels that mixup and cutmix give them.

    Example: sweep preview configs/search.yaml --trial 3 --output trial3.png
    """
    from sweeps.planning.plan import draw_of_trial
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    spec = load_search(search_file, parse_assignments(assignments, SearchSpec))
    values, is_fixed = draw_of_trial(spec, number)
    config = spec.trial_config(values, number)
    from trainable.config.own_code import add_code_directories
    from trainable.experiment.preview import write_preview

    if allow_custom_model:
        add_code_directories([Path.cwd(), spec.origin.directory])
    with writing(output):
        write_preview(config, output, images=images, allow_custom_model=allow_custom_model)
    for key, value in values.items():
        if key.partition(".")[0] in ("augment", "dataset"):
            print_line(f"{key}: {value}")
    if not is_fixed:
        print_note(f"the values of draw {number} depend on results of earlier trials")
    print_line(f"wrote {output}")
    return FINISHED


@click.command()
@click.argument("config_file", type=PATH, metavar="CONFIG")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of CONFIG, e.g. dataset.val_split=0.2 in a training config or "
    "config.dataset.val_split=0.2 in a search file.",
)
@_draw_option("the draw of a search file")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="Write a PNG file with samples of every class. One that exists is replaced.",
)
@_images_option("Samples of a class")
@AS_JSON
@ALLOW_CUSTOM_MODEL
@exits
def data(
    config_file: Path,
    assignments: tuple[str, ...],
    number: int,
    output: Path | None,
    images: int,
    as_json: bool,
    allow_custom_model: bool,
) -> int:
    """Looks at the data before a sweep.

    Reads every image of the data set that CONFIG, a training config or a search file, names.
    Prints the number of images of each class and split, sizes, modes, files that are not read and
    why, damaged files, images that occur twice, also across splits, and a class imbalance. It
    writes nothing but the picture.

    The exit code is 2 if trainings would fail.

    Example: sweep data config.yaml --output samples.png
    """
    from sweeps.planning.data_report import (
        describe_report,
        load_training_config,
        make_counts_table,
    )
    from trainable.config.own_code import add_code_directories
    from trainable.inspection.report import examine
    from trainable.inspection.samples import write_samples

    if allow_custom_model:
        add_code_directories([Path.cwd(), config_file.parent])
    config = load_training_config(config_file, assignments, number)
    report = examine(config, most_opened=images, allow_custom_model=allow_custom_model)
    if output is not None:
        with writing(output):
            write_samples(report, output, images=images)
    if as_json:
        print_json(report.to_dict())
    else:
        print_table(make_counts_table(report))
        for line in describe_report(report):
            print_line(line)
        if output is not None:
            print_line(f"wrote {output}")
    for problem in report.problems:
        print_error(problem)
    return BAD_INPUT if report.problems else FINISHED
