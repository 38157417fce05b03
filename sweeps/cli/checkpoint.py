"""Commands that use one checkpoint without its sweep: restore, eval and export-model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sweeps.cli.options import (
    ALLOW_CUSTOM_MODEL,
    AS_JSON,
    FINISHED,
    PATH_OR_URI,
    SET,
    SOME_FAILED,
    exits,
)
from sweeps.sweep_dir.layout import code_directories_of
from sweeps.terminal.commands import add_code_path, sweep_command
from sweeps.terminal.console import console, print_error, print_line
from sweeps.terminal.formatting import format_size
from trainable.config.own_code import add_code_directories, code_directories, is_own_code
from trainable.uri import is_uri

DEFAULT_DIRECTORY = "experiments"
"""The directory in which `restore` creates an experiment."""


@click.command()
@click.argument("checkpoint", type=PATH_OR_URI)
@click.option("--epochs", type=click.IntRange(min=1), help="New total number of epochs.")
@click.option(
    "--dir",
    "base",
    type=PATH_OR_URI,
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="Create the new experiment directory in this directory.",
)
@SET
@ALLOW_CUSTOM_MODEL
@exits
def restore(
    checkpoint: str,
    epochs: int | None,
    base: str,
    assignments: tuple[str, ...],
    allow_custom_model: bool,
) -> int:
    """Trains on from a single checkpoint.

    This only needs the .pt file CHECKPOINT and the data, nothing else of the sweep. The training
    gets a new experiment directory.

    Example: sweep restore experiments/digits_asha/TRIAL/checkpoints/best.pt --epochs 50
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig
    from trainable.experiment.from_checkpoint import restore as restore_checkpoint
    from trainable.experiment.from_checkpoint import restored_config
    from trainable.signals import StopRequest

    values = parse_assignments(assignments, TrainConfig)
    if allow_custom_model:
        add_code_directories(_code_directories(checkpoint))
    config = restored_config(checkpoint, base, epochs, values)
    with StopRequest() as stop:
        outcome = restore_checkpoint(
            config, console, allow_custom_model=allow_custom_model, should_stop=stop
        )
    label = "best" if outcome.finished else "best so far"
    print_line(f"{label}: {outcome.best_text}")
    print_line(f"experiment: {outcome.location}, continued from {checkpoint}")
    if outcome.finished or outcome.diverged or stop.signal is None:
        return FINISHED if outcome.finished else SOME_FAILED
    print_line("stopped early; continue with:")
    latest = outcome.latest if is_uri(outcome.latest) else Path(outcome.latest)
    parent = config.checkpoint.dir
    is_default = parent == str(Path(DEFAULT_DIRECTORY).absolute())
    options = [] if is_default else ["--dir", parent if is_uri(parent) else Path(parent)]
    is_own = is_own_code(config.model.name)
    command = sweep_command("restore", latest, *options, allow_custom_model=is_own)
    print_line(add_code_path(command, code_directories()))
    return 128 + stop.signal


@click.command("eval")
@click.argument("checkpoint", type=PATH_OR_URI)
@SET
@AS_JSON
@ALLOW_CUSTOM_MODEL
@exits
def eval_(
    checkpoint: str, assignments: tuple[str, ...], as_json: bool, allow_custom_model: bool
) -> int:
    """Scores a checkpoint on its test set.

    CHECKPOINT is a .pt file; its config names the data set.

    Example: sweep eval experiments/digits_asha/TRIAL/checkpoints/best.pt
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig
    from trainable.experiment.from_checkpoint import evaluate_checkpoint

    if allow_custom_model:
        add_code_directories(_code_directories(checkpoint))
    scores = evaluate_checkpoint(
        checkpoint,
        parse_assignments(assignments, TrainConfig),
        allow_custom_model=allow_custom_model,
    )
    if as_json:
        print_line(json.dumps(scores))
    else:
        for notice in scores["notices"]:
            print_line(f"note: {notice}")
        print_line(
            f"test_acc {scores['test_acc']:.4f}  test_loss {scores['test_loss']:.4f}  "
            f"on {scores['images']} images, epoch {scores['epoch']} of {checkpoint}"
        )
    return FINISHED


@click.command("export-model")
@click.argument("checkpoint", type=PATH_OR_URI)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["safetensors", "onnx", "torch-export"]),
    default="safetensors",
    show_default=True,
    help="safetensors holds weights only; onnx and torch-export also hold the computation.",
)
@click.option(
    "--output",
    type=PATH_OR_URI,
    metavar="FILE",
    help="Write to FILE, also in object storage, instead of beside CHECKPOINT.",
)
@SET
@ALLOW_CUSTOM_MODEL
@exits
def export_model(
    checkpoint: str,
    kind: str,
    output: str | None,
    assignments: tuple[str, ...],
    allow_custom_model: bool,
) -> int:
    """Exports the model of a checkpoint, with its classes and preprocessing.

    The file is loaded back and its logits are compared with the model's on images of the test set,
    or on random ones where the data are missing. A file that differs is deleted: exit code 1.

    Example: sweep export-model experiments/digits_asha/TRIAL/checkpoints/best.pt --format onnx
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig
    from trainable.inference.export_model import ExportError, export_checkpoint

    if allow_custom_model:
        add_code_directories(_code_directories(checkpoint))
    try:
        exported = export_checkpoint(
            checkpoint,
            kind,
            output,
            values=parse_assignments(assignments, TrainConfig),
            allow_custom_model=allow_custom_model,
        )
    except ExportError as error:
        print_error(str(error))
        return SOME_FAILED
    images = exported.images
    if images.reason is not None:
        print_line(f"note: no test images: {images.reason}")
    for location in exported.locations:
        print_line(location)
    kind_of_images = "test" if images.are_real else "random"
    print_line(
        f"{format_size(exported.size)}, loaded back: logits of {len(images.pixels)} "
        f"{kind_of_images} images differ by at most {exported.difference:.2g}"
    )
    return FINISHED


def _code_directories(checkpoint: str) -> list[Path]:
    """Returns where the own code of a checkpoint's model is looked for.

    That is the working directory and, for a trial of a sweep, where the sweep has found it.
    """
    return [Path.cwd(), *([] if is_uri(checkpoint) else code_directories_of(Path(checkpoint)))]
