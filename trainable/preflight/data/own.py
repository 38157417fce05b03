"""Calls the user's own data set once and looks at a few items; its code is run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from trainable.config import OwnDataset, TrainConfig
from trainable.data.loader.batches import BatchLoader
from trainable.data.own.build import NAME, OwnData, build_own
from trainable.data.own.drained import fits_in_memory
from trainable.data.own.items import Label
from trainable.data.own.labels import choose_classes
from trainable.data.own.load import check_splits, divide, encode_labels
from trainable.data.own.measure import ImageForm, Look, final_shape, look_at, stated_labels
from trainable.data.own.passes import fetch_labels
from trainable.data.own.source import FINISHED, NOT_AUGMENTED
from trainable.data.shapes import refuse_other_classes, remember_own_shape
from trainable.errors import ConfigError, DataError, Problem, TuneSweepsError
from trainable.preflight.shapes import DataShape, to_problems

FEW_ITEMS = 1000
"""Items that are fetched in this process, without a word."""
MANY_ITEMS = 10_000
"""Items up to which all are fetched for their labels, also where the classes are known."""


@dataclass(frozen=True)
class OwnCheck:
    """The result of a look at a data set of the user's own."""

    problems: list[Problem]
    form: ImageForm | None = None
    """The form of its images; None if it cannot be used."""
    num_classes: int = 0
    train_images: int | None = None
    """None if it is not known, but more than a few."""
    notices: list[str] = field(default_factory=list)
    """Lines for the user on how its items are used."""
    test_images: int | None = None
    """None if it is not known."""

    def check_keys(self, config: TrainConfig) -> list[Problem]:
        """Returns the problems, and the keys of a config that have no effect on finished images.

        Args:
            config: The config, without what it leaves to the weights of the model.
        """
        dataset = config.dataset
        assert isinstance(dataset, OwnDataset), "the caller has looked"
        if self.form is None or not self.form.is_finished:
            return self.problems
        problems = [*self.problems, *_check_finished(dataset, self.form)]
        if config.augment.changes_pixels:
            problems.append(Problem("augment", NOT_AUGMENTED))
        return problems

    def fit(self, dataset: OwnDataset) -> tuple[DataShape | None, list[Problem]]:
        """Returns the shape of the images, or why they have none.

        Args:
            dataset: The config's `dataset` section; what it leaves to the weights of the model is
                filled in.
        """
        assert self.form is not None, "the caller has looked at the problems"
        try:
            shape = final_shape(self.form, dataset)
        except DataError as error:
            return None, to_problems(error)
        return DataShape(self.num_classes, shape, self.train_images), []


def check_own_data(dataset: OwnDataset) -> OwnCheck:
    """Calls a data set as a training does and fetches a few items of every split.

    All items are fetched if the data set does not state their labels, and they are not very many
    or the classes are not known otherwise.

    Args:
        dataset: The config's `dataset` section; its `name` is code of the user's, which is run.
    """
    try:
        data = build_own(dataset)
        check_splits(data.splits, dataset)
        return _check(data, look_at(data), dataset)
    except ConfigError as error:
        return OwnCheck(list(error.problems))
    except DataError as error:
        return OwnCheck(to_problems(error))
    except TuneSweepsError as error:
        return OwnCheck([Problem(NAME, str(error).removeprefix(f"{NAME} "))])


def _check(data: OwnData, look: Look, dataset: OwnDataset) -> OwnCheck:
    form = look.form
    notices = [FINISHED] if form.is_finished else []
    if not look.is_repeatable:
        notices.append(
            f'{NAME} "{dataset.name}": items differ although torch, numpy and random are seeded '
            "for each of them, so that a training cannot be repeated; a generator of their own "
            "should be seeded by the item's number and the epoch, which set_epoch(epoch) gets"
        )
    labels = _read_labels(data, look, dataset, notices)
    count, test_count = None, None
    if labels is not None:
        classes, encoded = encode_labels(data, labels, dataset)
        divided = divide(encoded, classes, dataset)
        count, test_count = len(divided["train"][1]), len(divided["test"][1])
    else:
        sampled = {split: list(of_split.values()) for split, of_split in look.labels.items()}
        classes = choose_classes(
            dataset.name, sampled["train"], stated=data.classes, configured=dataset.classes
        )
        for split, of_split in look.labels.items():
            for index, label in of_split.items():
                classes.encode(label, data.splits[split].describe(index))
    refuse_other_classes(dataset, classes.names)
    remember_own_shape(dataset, len(classes.names), form.channels)
    return OwnCheck([], form, len(classes.names), count, notices, test_count)


def _read_labels(
    data: OwnData, look: Look, dataset: OwnDataset, notices: list[str]
) -> dict[str, list[Label]] | None:
    """Returns the labels of all items; None if only some were looked at."""
    labels = {split: stated_labels(data, look, split) for split in data.splits}
    count = sum(len(data.splits[split]) for split in labels if labels[split] is None)
    is_known = data.classes is not None or dataset.classes is not None
    if count > FEW_ITEMS and not fits_in_memory(data, look, dataset):
        notices.append(
            f'{NAME} "{dataset.name}": every training begins with fetching all {count} items for '
            "their labels; an attribute targets, a list with the label of each, spares that"
        )
    if count > MANY_ITEMS and is_known:
        return None
    workers = 0 if count <= FEW_ITEMS else min(dataset.num_workers, os.cpu_count() or 1)
    loader = BatchLoader(torch.device("cpu"), workers)
    return {
        split: of_split or fetch_labels(data.splits[split], loader, dataset.seed)
        for split, of_split in labels.items()
    }


def _check_finished(dataset: OwnDataset, form: ImageForm) -> Iterator[Problem]:
    """Yields the keys that floats leave without effect, unless they say what is so anyway."""
    neutral = {"mean": (0.0,) * form.channels, "std": (1.0,) * form.channels}
    for key, values in neutral.items():
        if getattr(dataset, key) not in (None, values):
            rule = "must be null, since the images are floats, which are not normalised"
            yield Problem(f"dataset.{key}", f"{rule} again; return uint8 images to use it")
    size = dataset.image_size
    if size is not None and form.size != (size, size):
        rule = "must be null, since the images are floats, which are not resized"
        yield Problem("dataset.image_size", f"{rule}; return uint8 images to use it")
