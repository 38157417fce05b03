"""Commands that use one checkpoint without its sweep: restore, eval, predict, export-model."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sweeps.cli.options import (
    ALLOW_CUSTOM_MODEL,
    AS_JSON,
    CHECKPOINT,
    FINISHED,
    PATH_OR_URI,
    SET,
    SOME_FAILED,
    exits,
    writing,
)
from sweeps.cli.shell.parameter_types import UserPath
from sweeps.sweep_dir.layout import code_directories_of
from sweeps.terminal.commands import add_code_path, sweep_command
from sweeps.terminal.console import (
    console,
    print_error,
    print_exactly,
    print_line,
    print_note,
    print_table,
)
from sweeps.terminal.formatting import format_metric, format_size, format_value, make_table
from sweeps.terminal.tables import ShortenedText, shorten
from trainable.artifacts.class_metrics import MATRIX, RECALL
from trainable.artifacts.metrics import more_scores
from trainable.atomic_files import write_once
from trainable.config.own_code import add_code_directories, code_directories
from trainable.experiment.console import to_printable
from trainable.uri import is_uri

if TYPE_CHECKING:
    from trainable.inference.predict import Prediction

MAX_MATRIX_COLUMNS = 12
"""Classes up to which `eval` prints the confusion matrix."""
MAX_HEADING = 20
"""Columns of a class's name above the confusion matrix."""
MAX_NAMED_IMAGES = 20
"""Unreadable images that `predict` names on standard error; the output has all of them."""
DEFAULT_DIRECTORY = "experiments"
"""The directory in which `restore` creates an experiment."""


@click.command()
@CHECKPOINT
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
    has_ended = outcome.finished or outcome.stop is not None
    label = "best" if has_ended else "best so far"
    print_line(f"{label}: {outcome.best_text}")
    print_line(f"experiment: {outcome.location}, restored from {checkpoint}")
    if has_ended or outcome.diverged or stop.signal is None:
        return FINISHED if has_ended else SOME_FAILED
    print_line("interrupted; go on with:")
    latest = outcome.latest if is_uri(outcome.latest) else Path(outcome.latest)
    parent = config.checkpoint.dir
    is_default = parent == str(Path(DEFAULT_DIRECTORY).absolute())
    options = [] if is_default else ["--dir", parent if is_uri(parent) else Path(parent)]
    is_own = bool(config.own_code)
    command = sweep_command("restore", latest, *options, allow_custom_model=is_own)
    print_line(add_code_path(command, code_directories()))
    return 128 + stop.signal


@click.command("eval")
@CHECKPOINT
@click.option(
    "--metrics",
    default="",
    metavar="NAMES",
    help="Measure these, too: names as in the config's metrics, separated by commas.",
)
@SET
@AS_JSON
@ALLOW_CUSTOM_MODEL
@exits
def eval_(
    checkpoint: str,
    metrics: str,
    assignments: tuple[str, ...],
    as_json: bool,
    allow_custom_model: bool,
) -> int:
    """Scores a checkpoint on its test set.

    CHECKPOINT is a .pt file; its config names the data set.

    Example: sweep eval experiments/digits_asha/TRIAL/checkpoints/best.pt --metrics f1_macro,auroc
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig
    from trainable.experiment.from_checkpoint import evaluate_checkpoint

    if allow_custom_model:
        add_code_directories(_code_directories(checkpoint))
    scores = evaluate_checkpoint(
        checkpoint,
        parse_assignments(assignments, TrainConfig),
        metrics=[name.strip() for name in metrics.split(",") if name.strip()],
        allow_custom_model=allow_custom_model,
    )
    if as_json:
        print_line(json.dumps(scores))
    else:
        _print_scores(scores)
    return FINISHED


def _print_scores(scores: dict[str, Any]) -> None:
    """Prints what `evaluate_checkpoint` returns; matrices of many classes only as JSON."""
    for notice in scores["notices"]:
        print_line(f"note: {notice}")
    more = more_scores(scores, "test")
    numbers = ["test_acc", "test_loss", *(n for n in more if not isinstance(scores[n], list))]
    print_line(
        "  ".join(f"{name} {format_metric(scores, name)}" for name in numbers)
        + f"  on {scores['images']} images, epoch {scores['epoch']} of {scores['checkpoint']}"
    )
    recall, matrix = scores.get(f"test_{RECALL}", []), scores.get(f"test_{MATRIX}", [])
    has_matrix = 0 < len(matrix) <= MAX_MATRIX_COLUMNS
    if not recall and not has_matrix:
        return
    names = list(scores["classes"])
    outputs = max(len(recall), len(matrix))
    names += map(str, range(len(names), outputs))  # those that have no class
    names = list(map(to_printable, names))
    headings = [shorten(name, MAX_HEADING, "...") for name in names] if has_matrix else []
    more_columns = ["recall"] if recall else []
    table = make_table("class", *more_columns, *headings, shortened=["class"])
    for label, name in enumerate(names):
        share = [format_value(recall[label])] if recall else []
        counts = map(str, matrix[label]) if has_matrix else []
        table.add_row(ShortenedText(name), *share, *counts)
    if has_matrix:
        table.caption = "columns: the class that images were classified as"
    print_table(table)


@click.command()
@CHECKPOINT
@click.argument("images", type=PATH_OR_URI, nargs=-1, required=True)
@click.option(
    "--output",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE instead of the terminal.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="The number of most probable classes of each image.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, a line for each image.")
@SET
@ALLOW_CUSTOM_MODEL
@exits
def predict(
    checkpoint: str,
    images: tuple[str, ...],
    output: Path | None,
    top: int,
    as_json: bool,
    assignments: tuple[str, ...],
    allow_custom_model: bool,
) -> int:
    """Predicts the classes of images.

    Writes CSV with the path of each image, its most probable class and the probability. IMAGES are
    files and folders, which are searched at any depth. Images are read, resized and normalised as
    in the evaluation of CHECKPOINT, a .pt file.

    An image that cannot be read is named, and the others are predicted: exit code 1.

    Example: sweep predict TRIAL/checkpoints/best.pt photos --top 3 --output predictions.csv
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig
    from trainable.inference.predict import Predictor, list_image_files

    if allow_custom_model:
        add_code_directories(_code_directories(checkpoint))
    files = list_image_files(images)
    values = parse_assignments(assignments, TrainConfig)
    predictor = Predictor(checkpoint, values, allow_custom_model=allow_custom_model)
    for notice in (*files.notices, *predictor.notices):
        print_note(notice)
    unreadable: list[str] = []
    predictions = _note_errors(predictor.predict(files.paths, top), unreadable)
    lines = _to_json(predictions) if as_json else _to_csv(predictions, predictor.limit(top))
    if output is None:
        for line in lines:
            print_exactly(line)
            if console.quiet:  # the reader has closed the pipe
                break
    else:
        with writing(output):
            write_once([output], lambda file: _write_lines(file, lines))
        print_line(f"{output}: {len(files.paths)} rows")
    if unreadable:
        print_note(f"{len(unreadable)} of {len(files.paths)} images cannot be read")
    return SOME_FAILED if unreadable else FINISHED


def _note_errors(predictions: Iterable[Prediction], unreadable: list[str]) -> Iterator[Prediction]:
    """Passes predictions on, and prints and collects the images without one."""
    for prediction in predictions:
        if prediction.error is not None:
            unreadable.append(prediction.path)
            if len(unreadable) <= MAX_NAMED_IMAGES:
                print_note(f"{prediction.path}: {prediction.error}")
        yield prediction


def _to_csv(predictions: Iterable[Prediction], top: int) -> Iterator[str]:
    """Yields the lines of a CSV file."""
    from trainable.inference.predict import column_names

    text = io.StringIO()
    writer = csv.DictWriter(text, column_names(top), lineterminator="\n")
    writer.writeheader()
    yield text.getvalue()
    for prediction in predictions:
        text.seek(0)
        text.truncate()
        row = prediction.to_row(top)
        shown = {k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()}
        writer.writerow(shown)
        yield text.getvalue()


def _to_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yields a line with a JSON object for each prediction."""
    for prediction in predictions:
        ranked = [{"class": name, "probability": p} for name, p in prediction.classes]
        values = {"path": prediction.path, "predictions": ranked, "error": prediction.error}
        yield json.dumps(values).replace("\x7f", "\\u007f") + "\n"


def _write_lines(file: BinaryIO, lines: Iterable[str]) -> None:
    """Writes text as UTF-8; bytes of a path that are no text are written as escapes."""
    for line in lines:
        file.write(line.encode("utf-8", "backslashreplace"))


@click.command("export-model")
@CHECKPOINT
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
    """Exports the model of a checkpoint for other programs.

    The file also has the names of the classes and the preprocessing.

    The file is loaded back and its logits are compared with the model's on images of the test set,
    or on random ones where the data are missing. A file that differs is deleted: exit code 1.

    Example: sweep export-model experiments/digits_asha/TRIAL/checkpoints/best.pt --format onnx
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig
    from trainable.errors import ExportError
    from trainable.inference.export_model import export_checkpoint

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
