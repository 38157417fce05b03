"""Predicts the classes of image files with the model of a checkpoint.

An image is read, resized, cropped and normalised as in an evaluation of the checkpoint, and the
batches have the same size, so that the predictions for the test set are those of `sweep eval`.
Images are decoded in threads, a few batches ahead of the model, and predictions are returned as
they are ready: memory does not grow with the number of images.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from trainable.artifacts.checkpoint import CONFIG, read_checkpoint
from trainable.config import FileDataset, OwnDataset, TrainConfig, parse_config
from trainable.config.override import override
from trainable.data.folder_scan import describe_files, image_extensions, walk_images
from trainable.data.image_file import ReadRules, read_image, read_rules
from trainable.data.normalize import Normalizer
from trainable.data.shapes import known_class_names
from trainable.errors import DataError, naming_memory
from trainable.inference.description import Preprocessing, find_preprocessing
from trainable.inference.trained_model import load_model
from trainable.storage.experiment import local_file
from trainable.training.device import default_device
from trainable.uri import is_uri

T = TypeVar("T")

MAX_THREADS = 16
"""Threads that decode images."""
BATCHES_AHEAD = 2
"""Batches of images that are decoded before the model needs them."""


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image."""

    path: str
    classes: tuple[tuple[str, float], ...] = ()
    """Name and probability, in [0, 1], of the most probable classes, the first one first; empty
    if the image cannot be read."""
    error: str | None = None
    """Why there is no prediction."""

    def to_row(self, top: int) -> dict[str, Any]:
        """Returns a row of a table by `column_names`; None where there is nothing."""
        values: list[Any] = [value for ranked in self.classes[:top] for value in ranked]
        padded = [self.path, *values, *[None] * (2 * top - len(values)), self.error]
        return dict(zip(column_names(top), padded, strict=True))


def column_names(top: int) -> list[str]:
    """Returns the columns of a table of predictions: `path`, `class`, `probability`, `error`.

    The second class is in `class_2` and `probability_2`, and so on.

    Args:
        top: Number of classes of a prediction.
    """
    suffixes = ["", *(f"_{rank}" for rank in range(2, top + 1))]
    ranked = [f"{name}{suffix}" for suffix in suffixes for name in ("class", "probability")]
    return ["path", *ranked, "error"]


@dataclass
class ImageFiles:
    """The image files that paths stand for."""

    paths: list[str] = field(default_factory=list)
    """In the order of the given paths; inside a folder by folder and name."""
    notices: list[str] = field(default_factory=list)
    """Lines for the user on files in folders that are not read."""


def list_image_files(paths: Iterable[str | Path]) -> ImageFiles:
    """Lists image files, and those in folders at any depth.

    The images in a folder are those that `image_folder` reads there: files with the extension of
    an image format, which are neither hidden nor the system's.

    Args:
        paths: Files and folders.

    Raises:
        DataError: A path does not exist, or there is no image at all.
    """
    given = [str(path) for path in paths]
    unusable = [path for path in given if is_uri(path) or not _is_usable(Path(path))]
    if unusable:
        raise DataError(f"there is no such file or folder: {', '.join(unusable)}")
    listed = ImageFiles()
    for path in given:
        if not Path(path).is_dir():
            listed.paths.append(path)
            continue
        names, others = walk_images(Path(path), image_extensions())
        listed.paths += [str(Path(path) / name) for name in names]
        if others:
            listed.notices.append(f"{path}: not read as images: {describe_files(others)}")
    if not listed.paths:
        raise DataError("; ".join([f"no image in {', '.join(given)}", *listed.notices]))
    return listed


def _is_usable(path: Path) -> bool:
    try:
        return path.is_dir() or path.is_file()
    except OSError:  # e.g. a name that is too long
        return False


class Predictor:
    """The model of a checkpoint with its preprocessing and the names of its classes.

    Args:
        checkpoint: A `.pt` file of any experiment or trial, or its address in object storage.
        values: Dotted config key -> new value, e.g. `training.batch_size`.
        device: The device of the model; by default the GPU if there is one.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: The checkpoint cannot be read, or its model cannot be built.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        values: Mapping[str, Any] | None = None,
        *,
        device: torch.device | None = None,
        allow_custom_model: bool = False,
    ) -> None:
        self._name = str(checkpoint)
        with local_file(self._name) as path:
            state = read_checkpoint(path)
        config = parse_config(override(state[CONFIG], values or {}), self._name)
        self.device = device or default_device()
        with naming_memory(self._name):
            model = load_model(config, state, allow_custom=allow_custom_model)
            self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self._prepare = _ImagePreparation(config, find_preprocessing(config, state))
        self._normalize = self._prepare.build_normalizer(self.device)
        self.notices = self._prepare.notices
        """Lines for the user on how images are read."""
        self.classes: tuple[str, ...] = (
            config.dataset.classes or known_class_names(config.dataset) or ()
        )
        """Names of the classes; an output without a name has its number."""
        self.num_classes = config.model.num_classes or len(self.classes)
        """Number of outputs of the model."""
        training = config.training
        self._batch_size = training.batch_size // training.accumulation_steps
        is_mixed = config.amp.enabled and self.device.type == "cuda"
        self._amp_dtype: torch.dtype | None = (
            getattr(torch, config.amp.dtype) if is_mixed else None
        )

    def predict(self, paths: Iterable[str], top: int = 1) -> Iterator[Prediction]:
        """Yields the prediction for each image, in order.

        Args:
            paths: Image files.
            top: Number of classes of a prediction.

        Raises:
            CheckpointError: A batch does not fit into memory.
        """
        threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        try:
            images = _map_ahead(self._read, paths, pool, BATCHES_AHEAD * self._batch_size)
            while batch := list(islice(images, self._batch_size)):
                with naming_memory(self._name):
                    yield from self._predict_batch(batch, top)
        finally:
            pool.shutdown(cancel_futures=True)

    def limit(self, top: int) -> int:
        """Returns a number of classes, at most that of the model."""
        return min(top, self.num_classes)

    def _read(self, path: str) -> tuple[str, NDArray[np.uint8] | str]:
        """Returns the path and the prepared image, or why it cannot be read."""
        try:
            return path, self._prepare(path)
        except DataError as error:
            return path, str(error).removeprefix(f"cannot read {path} as an image: ")

    def _predict_batch(
        self, batch: list[tuple[str, NDArray[np.uint8] | str]], top: int
    ) -> Iterator[Prediction]:
        images = [image for _, image in batch if not isinstance(image, str)]
        logits = self._compute_logits(images) if images else torch.empty(0, 1)
        # A stable sort has the class first that `argmax` returns.
        order = logits.sort(descending=True, stable=True).indices[:, :top]
        probabilities = logits.softmax(1).gather(1, order).tolist()
        ranked = zip(order.tolist(), probabilities, logits.isfinite().all(1).tolist(), strict=True)
        for path, image in batch:
            if isinstance(image, str):
                yield Prediction(path, error=image)
                continue
            labels, shares, is_finite = next(ranked)
            if is_finite:
                yield Prediction(path, tuple(zip(map(self._name_of, labels), shares, strict=True)))
            else:
                yield Prediction(path, error="the outputs of the model are not finite")

    @torch.inference_mode()
    def _compute_logits(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Returns logits `[B, num_classes]` float32 on the CPU."""
        pixels = torch.from_numpy(np.stack(images)).to(self.device)
        mixed = (
            nullcontext()
            if self._amp_dtype is None
            else torch.autocast(self.device.type, self._amp_dtype)
        )
        with mixed:
            logits: Tensor = self.model(self._normalize(pixels))
        return logits.float().cpu()

    def _name_of(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else str(label)


class _ImagePreparation:
    """Reads, resizes and crops an image file as an evaluation does.

    Args:
        config: The config of a checkpoint.
        image: Its preprocessing.

    Raises:
        DataError: The images of the model are neither grey nor RGB.
    """

    def __init__(self, config: TrainConfig, image: Preprocessing) -> None:
        if image.channels not in (1, 3):
            raise DataError(
                f"the model takes images of {image.channels} channels; files can be read with 1 "
                "(grey) or 3 (red, green and blue)"
            )
        self._image = image
        dataset = config.dataset
        self._rules = read_rules(dataset) if isinstance(dataset, FileDataset) else ReadRules()
        interpolation = v2.InterpolationMode(image.interpolation)
        self._crop: Callable[[Any], Any] = v2.Compose(
            [v2.Resize(image.resize, interpolation), v2.CenterCrop(image.size)]
        )
        height, width = image.size
        colour = "grey" if image.channels == 1 else "RGB"
        self.notices: list[str] = []
        if not isinstance(dataset, FileDataset):
            self.notices.append(
                f"the model was trained on {dataset.name}: images are converted to {colour} and "
                f"resized to {width}x{height} pixels"
            )
        if isinstance(dataset, OwnDataset) and set(image.mean) == {0} and set(image.std) == {1}:
            self.notices.append(
                f"{dataset.name} gave floats to the model: pixels are scaled to [0, 1] and not "
                "normalised; set dataset.mean and dataset.std to what its code does"
            )

    def build_normalizer(self, device: torch.device) -> Normalizer:
        """Returns what makes the input of the model from pixels."""
        image = self._image
        return Normalizer(image.mean, image.std, width=image.size[1], device=device)

    def __call__(self, path: str) -> NDArray[np.uint8]:
        """Returns the pixels of an image, `[H, W, C]`.

        Raises:
            DataError: It cannot be read.
        """
        picture = read_image(path, self._rules)
        if self._image.channels == 1:
            picture = picture.convert("L")
        pixels = np.array(self._crop(picture))
        return pixels.reshape(*self._image.size, self._image.channels)


def _map_ahead(
    function: Callable[[str], T], items: Iterable[str], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[T]:
    """Yields the results of a function in order, computing at most `ahead` in advance."""
    pending: deque[Future[T]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
