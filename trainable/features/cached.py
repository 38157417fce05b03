"""Trains a classifier on the stored features of a frozen backbone.

Without augmentation there is one pass over the training images. With it there are
`training.cached_passes`, whose changes are drawn from `dataset.seed`: trainings with other seeds,
rates or heads share them. Epoch e uses pass (e - 1) modulo their number, in an order of its own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainable.augment.mixing import augment_batches
from trainable.augment.streams import same_random_numbers, stream_seed
from trainable.config import TrainConfig
from trainable.config.sections.augment import AugmentConfig
from trainable.data.source import (
    Batch,
    HasEpochs,
    ImageSource,
    Split,
    batch_slices,
    train_slices,
)
from trainable.features.head_split import CannotSplitError, HeadSplit
from trainable.features.sharing import uses_features
from trainable.features.store import Features, FeatureStore, node_store

BATCH_SIZE = 64
"""Images that the backbone is run on at once, whatever the batches of the training are."""
FORMAT = 1

_DATA_KEYS = ("mean", "std", "interpolation", "crop_share", "image_size", "name")
_MODEL_KEYS = ("name", "args", "in_channels")


class Step(Protocol):
    """A step of a training or an evaluation."""

    model: nn.Module

    def start_pass(self) -> None:
        """Puts the model into the mode of the step."""

    def call_instead(self, forward: Callable[[Tensor], Tensor] | None) -> None:
        """Calls a function with the batches instead of the model; None calls the model again."""


class FeatureCache:
    """Switches a training to the stored features of its frozen backbone, where it can have them.

    Args:
        config: The training's config, resolved.
        source: Its data.
        training: Its training step.
        evaluation: Its evaluation step, whose model may be an average of the trained one.
        amp_dtype: Data type of autocast.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: ImageSource,
        training: Step,
        evaluation: Step,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        self.notes: list[str] = []
        """Lines for the log: what was computed here, and why features are not used or kept."""
        self._config, self._source = config, source
        self._training, self._evaluation = training, evaluation
        self._amp_dtype = amp_dtype
        self._is_open = not uses_features(config)
        self._features: CachedFeatures | None = None

    @property
    def is_active(self) -> bool:
        """Whether batches have features instead of images."""
        return self._features is not None

    def start_epoch(self) -> bool:
        """Switches the steps, once; returns whether it has done so."""
        if self._is_open:
            return False
        self._is_open = True
        try:
            self._features = self._open()
        except CannotSplitError as error:
            self._add_note(f"note: no cached features: {error}")
            return False
        for step in (self._training, self._evaluation):
            step.call_instead(self._features.split.head_of(step.model))
        return True

    def reset(self) -> None:
        """Ends the use of features, because the weights of the backbone may be other ones."""
        self._is_open = not uses_features(self._config)
        if self._features is not None:
            self._features = None
            for step in (self._training, self._evaluation):
                step.call_instead(None)

    def train_batches(
        self, epoch: int, *, seed: int, order: Sequence[int] | None
    ) -> Iterator[Batch]:
        """Yields features instead of images; see `CachedFeatures.train_batches`."""
        return self._opened.train_batches(epoch, seed=seed, order=order)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields features instead of images; see `ImageSource.eval_batches`."""
        return self._opened.eval_batches(split, batch_size)

    @property
    def _opened(self) -> CachedFeatures:
        assert self._features is not None, "the caller has asked for `is_active`"
        return self._features

    def _open(self) -> CachedFeatures:
        config, model, evaluated = self._config, self._training.model, self._evaluation.model
        if config.augment.mixes:
            raise CannotSplitError("mixup and cutmix mix images, not features")
        if isinstance(self._source, HasEpochs):
            raise CannotSplitError("the code of the data set may change its images in every epoch")
        device = next(model.parameters()).device
        autocast: AbstractContextManager[object] = nullcontext()
        if self._amp_dtype is not None:
            autocast = torch.autocast(device.type, dtype=self._amp_dtype)
        self._training.start_pass()
        split = HeadSplit(model, self._source.shape, autocast)
        own, other = _backbone(model, split), _backbone(evaluated, split)
        if evaluated is not model and not all(torch.equal(own[name], other[name]) for name in own):
            raise CannotSplitError("the averaged backbone has other weights")
        section = config.model.model_dump(mode="json")
        key = {
            "format": FORMAT,
            "model": {name: section[name] for name in _MODEL_KEYS},
            "weights": _hash(own),
            "probe": split.probe,
            "data": _select(config.dataset.model_dump(mode="json"), _DATA_KEYS),
            "device": device.type,
            "dtype": str(self._amp_dtype),
            "torch": torch.__version__,
        }
        return CachedFeatures(config, self._source, split, key, self._add_note)

    def _add_note(self, text: str) -> None:
        self.notes.append(text)


class CachedFeatures:
    """The features of a training's data; batches of them take the place of batches of images.

    Args:
        config: The training's config.
        source: Its data.
        split: Its model as a backbone and a classifier.
        key: What all features of the training depend on.
        on_event: Called with lines for the log.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: ImageSource,
        split: HeadSplit,
        key: dict[str, Any],
        on_event: Callable[[str], None],
    ) -> None:
        self.split = split
        self._config = config
        self._source = source
        self._key = key
        self._on_event = on_event
        self._store: FeatureStore = node_store()
        self._device = next(split.head_of(split.model).parameters()).device
        self._fingerprints: dict[Split, str] = {}
        augment = config.augment
        erases = augment.erasing is not None and augment.erasing.probability > 0
        self.is_augmented = config.dataset.augment or augment.changes_pixels or erases

    def train_batches(
        self, epoch: int, *, seed: int, order: Sequence[int] | None
    ) -> Iterator[Batch]:
        """Yields the features and labels of an epoch's batches.

        Args:
            epoch: Number of the epoch, from 1.
            seed: Seed of the epoch, for the order.
            order: Numbers of the images; None shuffles all of them.
        """
        number = (epoch - 1) % self._config.training.cached_passes if self.is_augmented else None
        features = self._get("train", number)
        if order is None:
            generator = torch.Generator().manual_seed(seed)
            rows = torch.randperm(len(features.labels), generator=generator)
        else:
            rows = torch.as_tensor(order)
        rows = rows.to(features.values.device)
        for part in train_slices(len(rows), self._config.training.batch_size):
            yield self._take(features, rows[part])

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields the features and labels of a split, in order; see `ImageSource`."""
        features = self._get(split, None)
        for part in batch_slices(len(features.labels), batch_size):
            yield self._take(features, part)

    def _take(self, features: Features, rows: Tensor | slice) -> Batch:
        values, labels = features.values[rows], features.labels[rows]
        return (
            values.to(self._device, non_blocking=True),
            labels.to(self._device, non_blocking=True),
        )

    def _get(self, split: Split, number: int | None) -> Features:
        """Returns the features of a split, or of one augmented pass over the training images."""
        if split not in self._fingerprints:
            self._fingerprints[split] = self._source.fingerprint(split)
        key = self._key | {"split": split, "images": self._fingerprints[split]}
        if number is not None:
            key |= {
                "pass": number,
                "seed": self._config.dataset.seed,
                "augment": self._config.augment.model_dump(mode="json"),
                "crop": self._config.dataset.augment,
            }
        return self._store.get(
            key, lambda: self._compute(split, number), self._device, self._on_event
        )

    def _compute(self, split: Split, number: int | None) -> Features:
        started = time.perf_counter()
        values, labels = [], []
        with same_random_numbers(on_gpus=True):
            for images, classes in self._images(split, number):
                values.append(self.split.features(images).cpu())
                labels.append(classes.cpu())
        features = Features(torch.cat(values), torch.cat(labels))
        name = split if number is None else f"{split}, augmented pass {number + 1}"
        self._on_event(
            f"features of {len(features.labels)} images ({name}) computed in "
            f"{time.perf_counter() - started:.1f} s"
        )
        return features

    def _images(self, split: Split, number: int | None) -> Iterator[Batch]:
        """Yields the images in the order of their numbers."""
        if number is None:
            return self._source.eval_batches(split, BATCH_SIZE)
        count = self._source.size(split)
        # A last batch of a single image would be left out.
        size = next(size for size in range(BATCH_SIZE, 0, -1) if size == 1 or count % size != 1)
        seed = stream_seed(self._config.dataset.seed, number)
        augment: AugmentConfig = self._config.augment
        batches = self._source.train_batches(
            size, seed=seed, augment=augment, order=list(range(count))
        )
        return iter(
            augment_batches(batches, augment, self._source.num_classes, seed=seed, epoch=1)
        )


def _backbone(model: nn.Module, split: HeadSplit) -> dict[str, Tensor]:
    """Returns the tensors of a model that its features depend on."""
    return {
        name: value
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor) and not split.is_of_head(name)
    }


def _hash(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()


def _select(values: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
