"""Trains one model without a sweep, as `python -m trainable config.yaml` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainable.artifacts.class_metrics import split_row
from trainable.artifacts.metrics import ACCURACY
from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE, automatic_name
from trainable.artifacts.tensorboard import TensorBoardWriter
from trainable.artifacts.trial_log import epoch_line
from trainable.config import TrainConfig
from trainable.config.yaml_reader import Document
from trainable.data.source import prepare_training
from trainable.errors import naming_full_disk
from trainable.experiment.directory import Experiment, create_directory, create_unique_directory
from trainable.experiment.resume import (
    Origin,
    continue_config,
    inherit_best,
    open_origin,
    set_aside,
)
from trainable.preflight.checks import refuse_failing
from trainable.storage.experiment import StoredExperiment
from trainable.training.saved_split import saved_split
from trainable.training.stopping import Stop
from trainable.training.trainer import Row, Trainer
from trainable.uri import child_uri, is_uri


@dataclass(frozen=True)
class Outcome:
    """The result of `fit`."""

    directory: Path | None
    """The experiment directory; None if checkpoints are off or it is in object storage."""
    rows: list[Row]
    """The metrics of the epochs trained by this call."""
    best_acc: float
    """Best accuracy of the whole training, including the epochs before a resume."""
    best_epoch: int
    """The best by `checkpoint.monitor`; 0 if no epoch had a finite loss."""
    finished: bool
    """False if the training stopped before the last epoch or diverged."""
    stop: Stop | None = None
    """Why it ended before the last epoch by a rule of its config; None if it did not."""
    diverged: bool = False
    """Whether the training ended because the loss was not finite."""
    location: str | None = None
    """The experiment directory or its address in object storage; None if checkpoints are off."""
    monitor: str = ACCURACY
    """The metric that decides which epoch is the best."""
    best_value: float | None = None
    """Its value at that epoch; None if there is none."""

    @property
    def best_text(self) -> str:
        """The best accuracy and its epoch as text."""
        if self.best_epoch == 0:
            return "no epoch has a finite loss"
        return f"{self.monitor} {self.best_value:.4f} at epoch {self.best_epoch}"

    @property
    def latest(self) -> str:
        """Path or address of `latest.pt`."""
        assert self.location is not None, "there is none with checkpoints off"
        name = f"{CHECKPOINTS}/{LATEST_FILE}"
        if is_uri(self.location):
            return child_uri(self.location, name)
        return str(Path(self.location, name))


def fit(
    config: TrainConfig,
    *,
    console: Console | None = None,
    allow_custom_model: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    document: Document | None = None,
) -> Outcome:
    """Trains one model and writes its experiment directory.

    Args:
        config: Complete settings.
        console: The console for notices, the progress bar and a line per epoch; None prints
            nothing.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        should_stop: Called after every epoch; True saves `latest.pt` and ends the training.
        document: The file that the config is from, for the lines in messages.

    Raises:
        TuneSweepsError: Data, config or checkpoint cannot be used; nothing has been created.
    """
    console = console or Console(quiet=True)
    checked = refuse_failing(config, allow_custom_model=allow_custom_model, document=document)
    with ExitStack() as stack:
        origin, split, lines = None, None, []
        if config.checkpoint.resume:
            origin = stack.enter_context(open_origin(config.checkpoint.resume))
            split = saved_split(origin.state, config.dataset)
            config = continue_config(config, origin.state)
        trainer = Trainer(
            config,
            num_workers=min(config.dataset.num_workers, os.cpu_count() or 1),
            allow_custom_model=allow_custom_model,
            split=split,
            pretrained=origin is None,
        )
        if origin is not None:
            lines = origin.load(trainer)
        prepare_training(trainer.source)
        experiment, tensorboard, stored = _open_outputs(trainer, origin, lines, datetime.now())
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for notice in dict.fromkeys([*trainer.notices, *checked]):
        console.print(f"[yellow]note:[/] {escape(notice)}", markup=True, soft_wrap=True)
    with naming_full_disk(Path(config.checkpoint.dir)):
        try:
            rows = _train(trainer, experiment, tensorboard, stored, console, should_stop)
        finally:
            for output in (experiment, tensorboard):
                if output is not None:
                    output.close()
            if experiment is not None and experiment.is_unused:
                experiment.remove()
                if stored is not None:
                    stored.abandon()
    if stored is not None:
        stored.close()
    return _describe_outcome(trainer, experiment, stored, rows)


def _describe_outcome(
    trainer: Trainer,
    experiment: Experiment | None,
    stored: StoredExperiment | None,
    rows: list[Row],
) -> Outcome:
    directory = experiment.directory if experiment is not None and stored is None else None
    location = None if directory is None else str(directory)
    return Outcome(
        directory=directory,
        location=location if stored is None else stored.uri,
        rows=rows,
        best_acc=trainer.best.acc,
        best_epoch=trainer.best.epoch,
        monitor=trainer.best.monitor,
        best_value=trainer.best.value,
        finished=trainer.done and not trainer.diverged,
        stop=None if trainer.diverged else trainer.stopping.stop,
        diverged=trainer.diverged,
    )


def _train(
    trainer: Trainer,
    experiment: Experiment | None,
    tensorboard: TensorBoardWriter | None,
    stored: StoredExperiment | None,
    console: Console,
    should_stop: Callable[[], bool],
) -> list[Row]:
    """Trains the remaining epochs and records their metrics.

    A checkpoint is written while the next epoch is trained, and its failure is raised after that
    epoch.
    """
    rows: list[Row] = []
    printed: list[str] = []
    writing: Future[None] | None = None
    try:
        while not trainer.ended:
            row = _run_epoch(trainer, console)
            numbers, per_class = split_row(row)
            rows.append(numbers)
            notes = [note for note in trainer.execution_notes if note not in printed]
            printed += notes
            for note in notes:
                console.print(note, highlight=False, markup=False, soft_wrap=True)
            if tensorboard is not None:
                tensorboard.append(numbers, per_class, trainer.config.dataset.classes or ())
            if experiment is not None:
                experiment.record(row)
                _wait_for_writing(writing)
                writing = experiment.begin_save(trainer)
            if stored is not None:
                _wait_for_writing(writing)
                stored.upload()
            line = epoch_line(numbers, trainer.config.training.epochs, improved=trainer.improved)
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            _print_end(console, trainer)
            if trainer.diverged or should_stop():
                break
        _wait_for_writing(writing)
    finally:
        if writing is not None:
            wait([writing])  # the directory has one writer
    if experiment is not None and rows and not trainer.diverged:
        experiment.save_latest(trainer)
    return rows


def _print_end(console: Console, trainer: Trainer) -> None:
    """Prints why a training ends before its last epoch, if it does."""
    stop = trainer.stopping.stop
    if trainer.diverged:
        console.print("the loss is not finite: training ends here", style="red")
    elif stop is not None:
        console.print(stop.text, highlight=False, markup=False, soft_wrap=True)


def _wait_for_writing(writing: Future[None] | None) -> None:
    """Waits until a checkpoint is written; raises its failure."""
    if writing is not None:
        writing.result()


def _open_outputs(
    trainer: Trainer, origin: Origin | None, lines: list[str], now: datetime
) -> tuple[Experiment | None, TensorBoardWriter | None, StoredExperiment | None]:
    """Opens the experiment if checkpoints are on, otherwise at most curves in `log_dir`.

    Args:
        trainer: The training.
        origin: The checkpoint that the trainer has loaded, or None.
        lines: What the user is told about the resume and the files; more is added.
        now: The time in the experiment's name.
    """
    config = trainer.config
    if config.checkpoint.enabled:
        stored = StoredExperiment(config, now) if is_uri(config.checkpoint.dir) else None
        directory = stored.directory if stored is not None else create_directory(config, now)
        download = stored.download if stored is not None else Path
        if origin is not None:
            lines += set_aside(directory, origin, trainer.epoch, download)
        experiment = Experiment(directory, config, keep_metrics=False)
        experiment.write_split(trainer.source)
        if origin is not None and config.checkpoint.save_best:
            lines += inherit_best(trainer, origin, experiment.checkpoints, download)
        return experiment, None, stored
    if config.tensorboard.enabled:
        logs = Path(config.tensorboard.log_dir)
        directory = create_unique_directory(logs, automatic_name(config, now))
        lines.append(f"note: checkpoint.enabled is false: only curves are saved, in {directory}")
        return None, TensorBoardWriter(directory), None
    lines.append("note: checkpoint.enabled is false: nothing is saved")
    return None, None, None


def _run_epoch(trainer: Trainer, console: Console) -> Row:
    if not trainer.config.progress.enabled or not console.is_terminal:
        return trainer.run_epoch()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(f"epoch {trainer.epoch + 1}", total=trainer.source.size("train"))
        return trainer.run_epoch(on_batch=lambda images: progress.advance(task, images))
