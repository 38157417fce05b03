"""Verbs over one checkpoint, without its sweep: restore and eval."""

from __future__ import annotations

import json
import shlex

import click

from sweeps.cli.options import (
    ALLOW_CUSTOM_MODEL,
    FINISHED,
    PLACE_AS_GIVEN,
    SET,
    SOME_FAILED,
    exits,
)
from sweeps.terminal.console import console, print_line


@click.command()
@click.argument("checkpoint", type=PLACE_AS_GIVEN)
@click.option("--epochs", type=click.IntRange(min=1), help="New total epochs.")
@click.option(
    "--dir",
    "base",
    type=PLACE_AS_GIVEN,
    default="experiments",
    show_default=True,
    help="Where the new experiment directory goes.",
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
    """Trains on from CHECKPOINT alone, in a new experiment directory.

    It needs the .pt file and the data, nothing else of its sweep.

    Example: sweep restore experiments/digits_asha/TRIAL/checkpoints/best.pt --epochs 50
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.experiment.from_checkpoint import restore as restore_checkpoint
    from trainable.experiment.from_checkpoint import restored_config
    from trainable.signals import StopRequest

    values = parse_assignments(assignments)
    config = restored_config(checkpoint, base, epochs, values)
    with StopRequest() as stop:
        outcome = restore_checkpoint(
            config, values, console, allow_custom_model=allow_custom_model, should_stop=stop
        )
    name = "best" if outcome.finished else "best so far"
    print_line(f"{name}: val_acc {outcome.best_acc:.4f} at epoch {outcome.best_epoch}")
    print_line(f"experiment: {outcome.place}, continued from {checkpoint}")
    if outcome.finished or outcome.diverged or stop.signal is None:
        return FINISHED if outcome.finished else SOME_FAILED
    print_line("stopped early; to go on:")
    print_line(f"sweep restore {shlex.quote(outcome.latest)} --dir {shlex.quote(str(base))}")
    return 128 + stop.signal


@click.command("eval")
@click.argument("checkpoint", type=PLACE_AS_GIVEN)
@SET
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@ALLOW_CUSTOM_MODEL
@exits
def eval_(
    checkpoint: str, assignments: tuple[str, ...], as_json: bool, allow_custom_model: bool
) -> int:
    """Scores CHECKPOINT on its test set.

    Example: sweep eval experiments/digits_asha/TRIAL/checkpoints/best.pt
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.experiment.from_checkpoint import evaluate_checkpoint

    found = evaluate_checkpoint(
        checkpoint, parse_assignments(assignments), allow_custom_model=allow_custom_model
    )
    if as_json:
        print_line(json.dumps(found))
    else:
        print_line(
            f"test_acc {found['test_acc']:.4f}  test_loss {found['test_loss']:.4f}  "
            f"on {found['images']} images, epoch {found['epoch']} of {checkpoint}"
        )
    return FINISHED
