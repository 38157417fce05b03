"""The commands that show what a sweep will do before it starts: plan, preview and data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import (
    ALLOW_CUSTOM_MODEL,
    AS_JSON,
    BAD_INPUT,
    FINISHED,
    PATH,
    PATH_OR_URI,
    SEARCH_FILE,
    SET_IN_SEARCH,
    exits,
    writing,
)
from sweeps.cli.shell.parameter_types import AnyAssignment
from sweeps.terminal.commands import sweep_command, train_command
from sweeps.terminal.console import (
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
    print_wrapped,
)

if TYPE_CHECKING:
    from trainable.config import TrainConfig

Command = Callable[..., Any]
DEFAULT_PICTURE = Path("preview.png")
DEFAULT_IMAGES = 8
CONFIG_SUFFIXES = {".yaml", ".yml", ".json"}
"""Ends of the names of training configs and search files."""


@click.command()
@SEARCH_FILE
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

    Prints the first draws and their training configs, then the number of trials, the data, the
    epochs at which the scheduler stops trials, the concurrent trials, the time and the disk space
    of the sweep that SEARCH_FILE describes.

    Example: sweep plan configs/search.yaml --probe
    """
    from sweeps.planning.validation import check_spec
    from sweeps.results.commands import own_code
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    spec = load_search(search_file, parse_assignments(assignments, SearchSpec))
    check_spec(spec, allow_custom_model=allow_custom_model, with_torch=True, decode_all=probes)
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
        print_wrapped(line, indent=6 if line.startswith("  ") else 2)
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
@SEARCH_FILE
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
@click.argument("source", type=PATH_OR_URI, metavar="DATA")
@click.option(
    "--set",
    "assignments",
    type=AnyAssignment(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the training config, e.g. dataset.val_split=0.2, or of a search file, "
    "e.g. config.dataset.val_split=0.2.",
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
    source: str,
    assignments: tuple[str, ...],
    number: int,
    output: Path | None,
    images: int,
    as_json: bool,
    allow_custom_model: bool,
) -> int:
    """Looks at the data before a sweep.

    DATA is a training config, a search file, or what sweep init takes: a folder of class folders,
    a table, a file of arrays, or the name of a data set. Reads every image. Prints the number of
    images of each class and split, sizes, modes, files that are not read and why, damaged files,
    images that occur twice, also across splits, and a class imbalance. It writes nothing but the
    picture.

    The exit code is 2 if trainings would fail.

    Example: sweep data photos --output samples.png
    """
    from sweeps.planning.data_report import describe_report, make_counts_table
    from trainable.config.own_code import add_code_directories
    from trainable.inspection.report import examine
    from trainable.inspection.samples import write_samples

    has_config = Path(source).suffix.lower() in CONFIG_SUFFIXES
    if allow_custom_model:
        add_code_directories([Path.cwd(), *([Path(source).parent] if has_config else [])])
    config = _read_config(source, assignments, number, has_config=has_config)
    report = examine(config, most_opened=images, allow_custom_model=allow_custom_model)
    if not has_config and not any("image_size" in text for text in assignments):
        report = replace(report, image_size=None)
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
        if not has_config and not report.problems:
            command = sweep_command(
                "init", "--data", source, allow_custom_model=allow_custom_model
            )
            print_line(f"next: {command}")
    for problem in report.problems:
        print_error(problem)
    return BAD_INPUT if report.problems else FINISHED


def _read_config(
    source: str, assignments: Sequence[str], number: int, *, has_config: bool
) -> TrainConfig:
    """Reads a file, or makes a config for data that no file describes yet."""
    if has_config:
        from sweeps.planning.data_report import load_training_config

        return load_training_config(Path(source), assignments, number)
    from sweeps.init.unconfigured import make_config
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig

    return make_config(source, parse_assignments(assignments, TrainConfig))
