"""All checks of a training config that can be made before its first training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainable.config import (
    MODEL_NAMES,
    ArraysDataset,
    DatasetConfig,
    FileDataset,
    ImageFolderDataset,
    OwnDataset,
    OwnLoss,
    TableDataset,
    TrainConfig,
)
from trainable.config.library_names import check_timm_is_installed
from trainable.config.own_code import check_own_code, is_own_code
from trainable.config.preprocessing import preprocessing_keys
from trainable.config.sections.model import FrozenStages, is_library_model
from trainable.config.sections.optimizer import OtherOptimizer
from trainable.config.yaml_reader import Document, line_of
from trainable.errors import ConfigError, Problem
from trainable.preflight.paths import check_inputs, check_outputs
from trainable.preflight.shapes import (
    DataShape,
    ImageCheck,
    check_shapes,
    known_shape,
    trains_on_one_image,
    with_image_size,
)
from trainable.uri import is_uri

if TYPE_CHECKING:
    from trainable.preflight.data.own import OwnCheck


UNRELATED_TO_ROOM = {"augment", "fold", "folds", "mean", "num_workers", "seed", "std", "val_split"}
"""Keys of `dataset` that change neither the files nor what is stored of them."""


def setting_problems(config: TrainConfig, allow_custom_model: bool) -> Iterator[Problem]:
    """Yields the problems of own code and of the shapes of data sets that are known by name.

    Reads no file of the data. Imports neither torch nor code of the user's.

    Args:
        config: Complete settings.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
    """
    missing = check_timm_is_installed(config.model.name)
    if missing is not None:
        yield missing
    for key, name in config.own_code:
        own = check_own_code(name, allowed=allow_custom_model, key=key)
        if own is not None:
            yield own
    shape = known_shape(config)
    if shape is not None:
        yield from check_shapes(config, shape)


def is_checked_slowly(config: TrainConfig) -> bool:
    """Returns whether `Checker.slow_problems` does anything for a config."""
    return isinstance(config.dataset, FileDataset | ArraysDataset) or needs_torch(config)


def needs_torch(config: TrainConfig) -> bool:
    """Returns whether checks of a config import torch."""
    return bool(config.own_code) or config.checkpoint.resume is not None or _has_recipe(config)


def _has_recipe(config: TrainConfig) -> bool:
    """Returns whether `check_recipe` has anything to check."""
    return (
        isinstance(config.optimizer, OtherOptimizer)
        or bool(config.optimizer.args)
        or isinstance(config.model.freeze, FrozenStages)
        or _has_library_or_weights(config)
        or config.model.name not in MODEL_NAMES
    )


def _has_library_or_weights(config: TrainConfig) -> bool:
    """Returns whether the model is one of a library or starts from trained weights."""
    return is_library_model(config.model.name) or bool(config.model.pretrained)


class Checker:
    """Checks configs and reads data that several of them share only once.

    Args:
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        with_torch: Whether to make the checks that import torch.
        with_resume: Whether to read `checkpoint.resume`.
        decode_all: Whether to decode every image of a folder.
    """

    def __init__(
        self,
        *,
        allow_custom_model: bool,
        with_torch: bool = True,
        with_resume: bool = True,
        decode_all: bool = False,
    ) -> None:
        self._allow_custom_model = allow_custom_model
        self._with_torch = with_torch
        self._with_resume = with_resume
        self._decode_all = decode_all
        self._data: dict[str, ImageCheck | None] = {}
        self._looks: dict[tuple[Any, ...], list[Any]] = {}
        self._rooms: dict[str, list[Problem]] = {}
        self._own_data: dict[str, OwnCheck] = {}
        self._models: dict[tuple[str, ...], list[Problem]] = {}

    def slow_problems(self, config: TrainConfig) -> list[Problem]:
        """Returns the problems of images, of an own model and of a checkpoint to resume from."""
        problems: list[Problem] = []
        own = self._check_own_data(config.dataset)
        if own is not None and (problems := own.check_keys(config)):
            return problems  # the shape of the images is needed for all that follows
        if self._with_torch and _has_library_or_weights(config):
            config, problems = self._resolve(config)
            if problems:
                return problems
        shape = known_shape(config)
        if own is not None and isinstance(config.dataset, OwnDataset):
            shape, problems = own.fit(config.dataset)
            problems += check_shapes(config, shape) if shape else ()
        images = self._check_data(config.dataset)
        if images is not None:
            shape = images.shape
            if shape is not None and isinstance(config.dataset, FileDataset):
                shape = with_image_size(shape, config.dataset)
            problems = [*images.problems, *(check_shapes(config, shape) if shape else ())]
            problems += [] if problems else self._check_room(config.dataset)
        if self._with_torch and shape is not None and not problems:
            problems += self._check_with_torch(config, shape)
        return problems

    @property
    def notices(self) -> list[str]:
        """Lines for the user on the images that were checked."""
        looks = (*self._data.values(), *self._own_data.values())
        lines = (line for look in looks if look for line in look.notices)
        return list(dict.fromkeys(lines))

    def _check_data(self, dataset: DatasetConfig) -> ImageCheck | None:
        """Checks data that several configs share once; None if no file has to be read."""
        key = dataset.model_dump_json(exclude={*preprocessing_keys()})
        if key not in self._data:
            self._data[key] = self._read_data(dataset)
        return self._data[key]

    def _read_data(self, dataset: DatasetConfig) -> ImageCheck | None:
        if isinstance(dataset, FileDataset):
            from trainable.preflight.images import check_images  # Pillow

            return check_images(dataset, decode_all=self._decode_all, looks=self._looks)
        if isinstance(dataset, ArraysDataset):
            if dataset.file.lower().endswith(".pt") and not self._with_torch:
                return None
            from trainable.preflight.data.arrays import check_arrays  # numpy

            return check_arrays(dataset)
        return None

    def _check_room(self, dataset: DatasetConfig) -> list[Problem]:
        """Checks the disk of a data set of files, once for every size of its images."""
        if not isinstance(dataset, ImageFolderDataset | TableDataset):
            return []
        from trainable.preflight.data.room import check_room  # Pillow

        key = dataset.model_dump_json(exclude=UNRELATED_TO_ROOM)
        if key not in self._rooms:
            self._rooms[key] = check_room(dataset)
        return self._rooms[key]

    def _check_own_data(self, dataset: DatasetConfig) -> OwnCheck | None:
        """Looks at a data set of the user's own that may be imported, once."""
        if not isinstance(dataset, OwnDataset) or not self._with_torch:
            return None
        if not self._is_importable("dataset.name", dataset.name):
            return None  # reported by `setting_problems`
        from trainable.preflight.data.own import check_own_data  # torch

        key = dataset.model_dump_json(exclude={*preprocessing_keys()})
        if key not in self._own_data:
            self._own_data[key] = check_own_data(dataset)
        return self._own_data[key]

    def _check_with_torch(self, config: TrainConfig, shape: DataShape) -> Iterator[Problem]:
        name, resume = config.model.name, config.checkpoint.resume
        if is_own_code(name) and self._is_importable("model.name", name):
            from trainable.preflight.model import check_model

            yield from check_model(config, shape)
        if _has_library_or_weights(config) and self._is_importable("model.name", name):
            yield from self._check_pretrained(config, shape)
        if isinstance(config.loss, OwnLoss) and self._is_importable("loss.name", config.loss.name):
            from trainable.preflight.loss import check_loss

            yield from check_loss(config, config.loss, shape)
        own_metrics = [code for key, code in config.own_code if key == "metrics"]
        if own_metrics and all(self._is_importable("metrics", code) for code in own_metrics):
            from trainable.preflight.metrics import check_metrics

            yield from check_metrics(config, shape)
        if _has_recipe(config) and self._is_importable("model.name", name):
            from trainable.preflight.recipe import check_recipe

            yield from check_recipe(config, shape)
        if self._with_resume and resume and (is_uri(resume) or Path(resume).is_file()):
            from trainable.preflight.resume import check_resume

            yield from check_resume(config, shape)

    def _resolve(self, config: TrainConfig) -> tuple[TrainConfig, list[Problem]]:
        if check_timm_is_installed(config.model.name) is not None:
            return config, []  # reported by `setting_problems`
        from trainable.preflight.pretrained import resolve_or_refuse

        return resolve_or_refuse(config)

    def _check_pretrained(self, config: TrainConfig, shape: DataShape) -> list[Problem]:
        """Checks each of several models once, for every size of its images."""
        from trainable.preflight.pretrained import check_pretrained

        is_single = str(trains_on_one_image(config, shape))
        checkpoint = config.checkpoint.model_dump_json()
        key = (config.model.model_dump_json(), checkpoint, str(shape), is_single)
        if key not in self._models:
            self._models[key] = check_pretrained(config, shape)
        return self._models[key]

    def _is_importable(self, key: str, name: str) -> bool:
        return check_own_code(name, allowed=self._allow_custom_model, key=key) is None


def refuse_failing(
    config: TrainConfig, *, allow_custom_model: bool, document: Document | None = None
) -> list[str]:
    """Makes all checks of a config but that of the checkpoint which the caller loads next.

    Args:
        config: Complete settings.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        document: The file that the config is from, for the lines in the message.

    Returns:
        Lines for the user on the images.

    Raises:
        ConfigError: A training of the config would fail; all problems are listed.
    """
    problems = [
        *check_outputs(config),
        *setting_problems(config, allow_custom_model),
        *check_inputs(config),
    ]
    checker = Checker(allow_custom_model=allow_custom_model, with_resume=False)
    if is_checked_slowly(config):
        problems += checker.slow_problems(config)
    problems = list(dict.fromkeys(problems))  # several checks need timm
    if not problems:
        return checker.notices
    if document is None:
        raise ConfigError("config", problems)
    located = [
        replace(problem, line=line_of(document, tuple(problem.key.split("."))))
        for problem in problems
    ]
    raise ConfigError(document.source, sorted(located, key=lambda problem: problem.line or 0))


def to_plain(problems: Sequence[Problem]) -> list[Any]:
    """Returns problems as plain values, for another process."""
    return [[problem.key, problem.rule] for problem in problems]
