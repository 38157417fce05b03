"""Python API for sweeps: `from sweeps import run_sweep, load_sweep`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.results.trial_results import TrialResult
from sweeps.storage.location import download, resolve
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import enable_ray_output, ray_output_enabled
from trainable.artifacts.names import CHECKPOINTS
from trainable.artifacts.trial_log import replace_unencodable
from trainable.config.own_code import add_code_directories

if TYPE_CHECKING:
    import pandas as pd


class Sweep:
    """A sweep as its files described it when it was loaded. Needs no Ray.

    Args:
        files: The loaded sweep.
        grid: Tune's `ResultGrid` if this process ran the sweep.
    """

    def __init__(self, files: LoadedSweep, grid: Any = None) -> None:
        self.files = files
        self.grid = grid

    @property
    def directory(self) -> Path:
        """The sweep directory; for a sweep in object storage, its local mirror."""
        return self.files.directory

    @property
    def state(self) -> str:
        """`running`, `paused`, `finished`, `failed`, or `interrupted` if the driver has died."""
        return self.files.state

    @property
    def damage(self) -> list[str]:
        """A sentence about every damaged file, because of which another trial may be the best."""
        return self.files.damage

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, best first: its sampled values, metric, directory and checkpoint."""
        from sweeps.results.export import to_frame, trial_rows

        return to_frame(trial_rows(self.files))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per epoch of every trial, with all metrics."""
        from sweeps.results.export import epoch_rows, to_frame

        return to_frame(epoch_rows(self.files))

    def best(self) -> TrialResult:
        """Returns the trial with the best epoch, with `.record`, `.best` (its row), `.directory`.

        Raises:
            SweepError: No trial has an epoch with finite losses.
        """
        if self.files.best is None:
            raise SweepError(f"{self.directory}: {self.files.missing_best}")
        return self.files.best

    def trial(self, name: str) -> TrialResult:
        """Returns the trial whose id begins with this text.

        Raises:
            SweepError: No trial matches, or several do.
        """
        return self.files.find(name)

    def checkpoint(self, trial: str | TrialResult | None = None) -> Path:
        """Returns the path of a trial's `best.pt`, else of its `latest.pt`.

        Args:
            trial: The beginning of the trial's id, or the trial. None means the best trial.

        Raises:
            SweepError: There is no such trial, or its weights were not kept.
        """
        result = self._select(trial)
        if result.checkpoint is None:
            reason = "" if self.files.saves_checkpoints else ": checkpoint.enabled is false"
            raise SweepError(
                f"trial {result.record.id} ({result.record.state}) has no checkpoint in "
                f"{result.directory / CHECKPOINTS}{reason}"
            )
        return download(result.checkpoint)

    def model(
        self,
        trial: str | TrialResult | None = None,
        *,
        device: str = "cpu",
        allow_custom_model: bool = False,
    ) -> Any:
        """Builds a trial's model with the weights of its `checkpoint`, in eval mode.

        Args:
            trial: The beginning of the trial's id, or the trial. None means the best trial.
            device: The device to move it to, e.g. `cuda`.
            allow_custom_model: Whether `model.name` may import the user's own code.

        Returns:
            A `torch.nn.Module` that maps images `[B, C, H, W]`, normalised as in training, to
            logits `[B, num_classes]`.

        Raises:
            TuneSweepsError: There is no such trial or checkpoint, or its model cannot be built.
        """
        from trainable.artifacts.checkpoint import CONFIG, read_checkpoint
        from trainable.config import parse_config
        from trainable.inference.trained_model import load_model

        if allow_custom_model:
            add_code_directories([Path.cwd(), *self.files.record.code_directories])
        path = self.checkpoint(trial)
        state = read_checkpoint(path)
        config = parse_config(state[CONFIG], str(path))
        return load_model(config, state, allow_custom=allow_custom_model).to(device)

    def predict(
        self,
        images: Iterable[str | Path],
        *,
        trial: str | TrialResult | None = None,
        top: int = 1,
        allow_custom_model: bool = False,
    ) -> pd.DataFrame:
        """Predicts the classes of images with the weights of a trial's `checkpoint`.

        Args:
            images: Files, and folders, which are searched at any depth.
            trial: The beginning of the trial's id, or the trial. None means the best trial.
            top: Number of most probable classes of each image.
            allow_custom_model: Whether `model.name` may import the user's own code.

        Returns:
            One row per image: `path`, `class`, `probability` and, where the image cannot be read,
            `error`. The second class is in `class_2` and `probability_2`, and so on.

        Raises:
            TuneSweepsError: There is no such trial, checkpoint or image, or the model cannot be
                built.
        """
        from sweeps.results.export import to_frame
        from trainable.inference.predict import Predictor, list_image_files

        if allow_custom_model:
            add_code_directories([Path.cwd(), *self.files.record.code_directories])
        paths = list_image_files(images).paths
        predictor = Predictor(self.checkpoint(trial), allow_custom_model=allow_custom_model)
        count = predictor.limit(top)
        return to_frame([row.to_row(count) for row in predictor.predict(paths, count)])

    def report(self, output: str | Path | None = None) -> Path:
        """Writes `report.html`, or another file; returns its path."""
        from sweeps.report.page import write_report

        return write_report(self.directory, None if output is None else Path(output))

    def _select(self, trial: str | TrialResult | None) -> TrialResult:
        if trial is None:
            return self.best()
        return self.trial(trial) if isinstance(trial, str) else trial


def load_sweep(directory: str | Path) -> Sweep:
    """Loads a sweep from its directory: running, paused, finished or copied from elsewhere.

    A warning is logged about every file that is damaged (`Sweep.damage`).

    Args:
        directory: A path, or a URI in object storage whose files are read from a local mirror.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
        StorageError: The object storage does not respond.
    """
    files = load(resolve(directory))
    for text in files.damage:
        logging.getLogger(__name__).warning("note: %s", text)
    return Sweep(files)


def run_sweep(
    search: str | Path | Mapping[str, Any],
    *,
    allow_custom_model: bool = False,
    address: str | None = None,
) -> Sweep:
    """Runs a new sweep until it has finished or is paused, as `sweep run` does.

    Any thread may call it, one at a time. In the main thread Ctrl-C pauses the sweep, as in a
    notebook the interrupt; in other threads `sweep stop` does. A Ray that runs in this process is
    used and left running; one that the sweep starts ends with it.

    Args:
        search: A search file, or its plain values. Paths in plain values are relative to the
            working directory.
        allow_custom_model: Whether `model.name` and the sampler may be the user's own code.
        address: The address of the Ray cluster to join, or `auto`. None means `RAY_ADDRESS` if it
            is set, else this machine.

    Returns:
        The sweep, with Tune's own `ResultGrid` as `grid`.

    Raises:
        TuneSweepsError: The search file is not valid, the sweep directory already exists, or a
            sweep is running in this process.
    """
    from sweeps.spec.load import load_search, parse_search

    replace_unencodable()
    enable_ray_output(ray_output_enabled())
    spec = parse_search(search) if isinstance(search, Mapping) else load_search(search)
    from sweeps.execution.launch import start_sweep

    outcome = start_sweep(spec, allow_custom_model=allow_custom_model, address=address)
    return Sweep(load(outcome.directory), outcome.grid)
