"""Trains one model without a sweep, as `python -m trainable config.yaml` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainable.artifacts.checkpoint import read_checkpoint
from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE, automatic_name
from trainable.artifacts.tensorboard import TensorBoardWriter
from trainable.artifacts.trial_log import epoch_line
from trainable.config import TrainConfig
from trainable.errors import ExperimentError
from trainable.experiment.directory import Experiment, create_directory, create_unique_directory
from trainable.storage.experiment import StoredExperiment, local_file
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
    finished: bool
    """False if the training stopped before the last epoch or diverged."""
    diverged: bool = False
    """Whether the training ended because the loss was not finite."""
    location: str | None = None
    """The experiment directory or its address in object storage; None if checkpoints are off."""

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
    own: Collection[str] = (),
    allow_custom_model: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Trains one model and writes its experiment directory.

    Args:
        config: Complete settings.
        console: The console for notices, the progress bar and a line per epoch; None prints
            nothing.
        own: Dotted config keys whose values win over those in `checkpoint.resume`.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        should_stop: Called after every epoch; True saves `latest.pt` and ends the training.

    Raises:
        TuneSweepsError: Data, config or checkpoint cannot be used; nothing has been created.
    """
    console = console or Console(quiet=True)
    trainer = Trainer(
        config,
        num_workers=min(config.dataset.num_workers, os.cpu_count() or 1),
        allow_custom_model=allow_custom_model,
    )
    with ExitStack() as stack:
        resumed = None
        if config.checkpoint.resume:
            resumed = stack.enter_context(local_file(config.checkpoint.resume))
            _resume(trainer, resumed, config.checkpoint.resume, own)
        for notice in trainer.notices:
            console.print(f"[yellow]note:[/] {notice}", soft_wrap=True)
        experiment, tensorboard, stored = _open_outputs(trainer, resumed, datetime.now())
    try:
        rows = _train(trainer, experiment, tensorboard, stored, console, should_stop)
    finally:
        for output in (experiment, tensorboard):
            if output is not None:
                output.close()
    if stored is not None:
        stored.close()
    directory = experiment.directory if experiment is not None and stored is None else None
    location = None if directory is None else str(directory)
    return Outcome(
        directory=directory,
        location=location if stored is None else stored.uri,
        rows=rows,
        best_acc=trainer.best_acc,
        best_epoch=trainer.best_epoch,
        finished=trainer.done and not trainer.diverged,
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
        while not trainer.done:
            row = _run_epoch(trainer, console)
            rows.append(row)
            notes = [note for note in trainer.execution_notes if note not in printed]
            printed += notes
            for note in notes:
                console.print(note, highlight=False, soft_wrap=True)
            if tensorboard is not None:
                tensorboard.append(row)
            if experiment is not None:
                experiment.record(row)
                _wait_for_writing(writing)
                writing = experiment.begin_save(trainer)
            if stored is not None:
                _wait_for_writing(writing)
                stored.upload()
            console.print(
                epoch_line(row, trainer.config.training.epochs), highlight=False, soft_wrap=True
            )
            if trainer.diverged:
                console.print("[red]the loss is not finite: training ends here[/]")
            if trainer.diverged or should_stop():
                break
        _wait_for_writing(writing)
    finally:
        if writing is not None:
            wait([writing])  # the directory has one writer
    if experiment is not None and rows:
        experiment.save_latest(trainer)
    return rows


def _wait_for_writing(writing: Future[None] | None) -> None:
    """Waits until a checkpoint is written; raises its failure."""
    if writing is not None:
        writing.result()


def _resume(trainer: Trainer, path: Path, location: str, own: Collection[str]) -> None:
    trainer.load_state_dict(read_checkpoint(path), own=own)
    if trainer.done:
        raise ExperimentError(
            f"{location} has completed epoch {trainer.epoch} of {trainer.config.training.epochs}: "
            "nothing is left to train; raise training.epochs"
        )


def _open_outputs(
    trainer: Trainer, resumed: Path | None, now: datetime
) -> tuple[Experiment | None, TensorBoardWriter | None, StoredExperiment | None]:
    """Opens the experiment if checkpoints are on, otherwise at most curves in `log_dir`.

    Args:
        trainer: The training.
        resumed: The checkpoint that the trainer has loaded, or None.
        now: The time in the experiment's name.
    """
    config = trainer.config
    if config.checkpoint.enabled:
        stored = StoredExperiment(config, now) if is_uri(config.checkpoint.dir) else None
        directory = stored.directory if stored is not None else create_directory(config, now)
        experiment = Experiment(directory, config, keep_metrics=False)
        if resumed is not None:
            experiment.adopt_best(resumed, trainer)
        return experiment, None, stored
    if config.tensorboard.enabled:
        logs = Path(config.tensorboard.log_dir)
        directory = create_unique_directory(logs, automatic_name(config, now))
        return None, TensorBoardWriter(directory), None
    return None, None, None


def _run_epoch(trainer: Trainer, console: Console) -> Row:
    if not trainer.config.progress.enabled or not console.is_terminal:
        return trainer.run_epoch()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(f"epoch {trainer.epoch + 1}", total=trainer.source.size("train"))
        return trainer.run_epoch(on_batch=lambda images: progress.advance(task, images))
