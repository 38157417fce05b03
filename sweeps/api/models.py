"""The trained models of a sweep, in Python."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.api.files import SweepFiles
from sweeps.api.plain_values import to_assignments
from sweeps.api.trial import Trial
from trainable.config.own_code import add_code_directories

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Paths = str | Path | Iterable[str | Path]


class SweepModels(SweepFiles):
    """The part of `Sweep` that uses checkpoints."""

    def checkpoint(self, trial: str | Trial | None = None) -> Path:
        """Returns the path of a trial's `best.pt`, else of its `latest.pt`.

        Args:
            trial: The beginning of the trial's id, or the trial. None means the best trial.

        Raises:
            SweepError: There is no such trial, or its weights were not kept.
        """
        return self._select(trial).checkpoint

    def model(
        self,
        trial: str | Trial | None = None,
        *,
        device: str = "cpu",
        allow_custom_model: bool = False,
    ) -> nn.Module:
        """Builds a trial's model with the weights of its `checkpoint`, in eval mode.

        Args:
            trial: The beginning of the trial's id, or the trial. None means the best trial.
            device: The device to move it to, e.g. `cuda`.
            allow_custom_model: Whether `model.name` may import the user's own code.

        Returns:
            A model that maps images `[B, C, H, W]`, normalised as in training, to logits
            `[B, num_classes]`.

        Raises:
            TuneSweepsError: There is no such trial or checkpoint, or its model cannot be built.
        """
        from trainable.artifacts.checkpoint import CONFIG, read_checkpoint
        from trainable.config import parse_config
        from trainable.inference.trained_model import load_model

        path = self.checkpoint(trial)
        self._find_own_code(allow_custom_model)
        state = read_checkpoint(path)
        config = parse_config(state[CONFIG], str(path))
        return load_model(config, state, allow_custom=allow_custom_model).to(device)

    def evaluate(
        self,
        trial: str | Trial | None = None,
        *,
        metrics: Sequence[str] = (),
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
        allow_custom_model: bool = False,
    ) -> dict[str, Any]:
        """Scores a trial's `checkpoint` on the test set, as `sweep eval` does.

        Example:
            ```python
            scores = sweep.evaluate(metrics=["f1_macro"])
            print(scores["test_acc"], scores["test_f1_macro"])
            ```

        Args:
            trial: The beginning of the trial's id, or the trial. None means the best trial.
            metrics: Names as in the training config's `metrics`, which are measured besides those.
            set: Dotted key of the training config -> new value, such as `dataset.root`.
            allow_custom_model: Whether the config may import the user's own code.

        Returns:
            `test_acc` in [0, 1], `test_loss` (mean per image), `images`, `epoch`, `best_acc`,
            `checkpoint` and `notices`; `test_` with the name of each metric; and `classes`, their
            names, if a metric has a value for each class.

        Raises:
            TuneSweepsError: There is no such trial or checkpoint, or the data cannot be loaded.
        """
        from trainable.experiment.from_checkpoint import evaluate_checkpoint

        path = self.checkpoint(trial)
        self._find_own_code(allow_custom_model)
        return evaluate_checkpoint(
            path, to_assignments(set), metrics=list(metrics), allow_custom_model=allow_custom_model
        )

    def predict(
        self,
        images: Paths,
        *,
        trial: str | Trial | None = None,
        top: int = 1,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
        allow_custom_model: bool = False,
    ) -> pd.DataFrame:
        """Predicts the classes of images with the weights of a trial's `checkpoint`.

        Notes, such as on files of a folder that are not read as images, are logged as warnings.

        Args:
            images: Files, and folders, which are searched at any depth; one or several.
            trial: The beginning of the trial's id, or the trial. None means the best trial.
            top: Number of most probable classes of each image.
            set: Dotted key of the training config -> new value, such as `training.batch_size`.
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

        values = to_assignments(set)
        files = list_image_files([images] if isinstance(images, str | Path) else images)
        checkpoint = self.checkpoint(trial)
        self._find_own_code(allow_custom_model)
        predictor = Predictor(checkpoint, values, allow_custom_model=allow_custom_model)
        for notice in (*files.notices, *predictor.notices):
            logging.getLogger(__name__).warning("note: %s", notice)
        count = predictor.limit(top)
        return to_frame([row.to_row(count) for row in predictor.predict(files.paths, count)])

    def _find_own_code(self, allowed: bool) -> None:
        """Lets own code be imported from where the sweep has found it."""
        if allowed:
            add_code_directories([Path.cwd(), *self.files.record.code_directories])
