"""Looks at a few items of a data set of the user's own: what they are and whether they are random.

The looks of two processes agree, because the items are fetched with the same random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainable.config import OwnDataset
from trainable.data.own.build import OwnData
from trainable.data.own.fetching import DrawDetector, seeded_generators
from trainable.data.own.items import Label
from trainable.data.own.labels import find_stated_labels
from trainable.errors import DataError

SEED = 0
"""Seed that items are looked at with, so that all processes see the same."""
RGB = 3
SIZE_REMEDY = "set dataset.image_size, to which all are resized and cropped"


@dataclass(frozen=True)
class ImageForm:
    """The form that the images of a data set have before they are resized."""

    channels: int
    size: tuple[int, int] | None
    """Height and width of all images; None if they may differ."""
    is_finished: bool
    """Whether they are floats, which are used as they are."""

    def fit(self, image: Tensor, place: str) -> Tensor:
        """Returns an image in this form; grey becomes RGB where other images are.

        Args:
            image: As `read_image` returns it.
            place: How messages name the item.

        Raises:
            DataError: It has another form.
        """
        if image.is_floating_point() != self.is_finished:
            kinds = {True: "an image of floats", False: "an image of 8 bits"}
            raise DataError(
                f"{place} is {kinds[not self.is_finished]}, the first one is "
                f"{kinds[self.is_finished]}; all must be of one kind"
            )
        channels, size = _measure(image)
        if channels == 1 and self.channels == RGB and not self.is_finished:
            image, channels = image.expand(-1, -1, RGB), RGB
        if channels != self.channels:
            raise DataError(f"{place} has {channels} channels, others have {self.channels}")
        if self.size not in (None, size):
            remedy = "floats are not resized" if self.is_finished else SIZE_REMEDY
            raise DataError(
                f"{place} is {_show(size)} pixels, others are {_show(self.size)}: {remedy}"
            )
        return image


@dataclass(frozen=True)
class Look:
    """A few items of every split."""

    images: Mapping[str, Mapping[int, Tensor]]
    """Split -> number of an item -> its image, as `read_image` returns it."""
    labels: Mapping[str, Mapping[int, Label]]
    """Split -> number of an item -> its label."""
    form: ImageForm
    is_random: bool
    """Whether items differ from fetch to fetch, or from epoch to epoch."""
    is_repeatable: bool
    """Whether an item is the same again if the global generators are seeded alike."""


def look_at(data: OwnData) -> Look:
    """Fetches the first, the last and three other items of every split, each twice.

    Raises:
        DataError: An item cannot be used, or they differ in what must be the same.
    """
    images: dict[str, dict[int, Tensor]] = {}
    labels: dict[str, dict[int, Label]] = {}
    is_random, is_repeatable = False, True
    for split, items in data.splits.items():
        images[split], labels[split] = {}, {}
        is_random = is_random or items.has_epochs
        for index in probed(len(items)):
            with seeded_generators(SEED, index):
                detector = DrawDetector()
                image, label = items.fetch(index)
                is_random = is_random or detector.has_drawn()
            with seeded_generators(SEED, index):
                again, _ = items.fetch(index)
            is_repeatable = is_repeatable and torch.equal(image, again)
            images[split][index], labels[split][index] = image, label
    form = _find_form(data, images)
    return Look(images, labels, form, is_random or not is_repeatable, is_repeatable)


def probed(count: int) -> list[int]:
    """Returns the numbers of the items that are looked at, out of so many."""
    return sorted({0, count // 4, count // 2, 3 * count // 4, count - 1})


def stated_labels(data: OwnData, look: Look, split: str) -> list[Label] | None:
    """Returns the labels of a split that its data set states; None if the items' are others."""
    labels = find_stated_labels(data.splits[split].data)
    seen = look.labels[split]
    if labels is None or any(labels[index] != label for index, label in seen.items()):
        return None
    return labels


def final_form(form: ImageForm, dataset: OwnDataset) -> ImageForm:
    """Returns the form that all images must have, in which sizes may differ if they are resized.

    Raises:
        DataError: They differ and are not resized.
    """
    if form.is_finished or dataset.image_size is None:
        if form.size is None:
            raise DataError(
                f'dataset.name "{dataset.name}" has images of different sizes: {SIZE_REMEDY}'
            )
        return form
    return replace(form, size=None)


def final_shape(form: ImageForm, dataset: OwnDataset) -> tuple[int, int, int]:
    """Returns channels, height and width of the images that a model gets.

    Raises:
        DataError: See `final_form`.
    """
    height, width = final_form(form, dataset).size or (dataset.image_size or 0,) * 2
    return form.channels, height, width


def _find_form(data: OwnData, images: Mapping[str, Mapping[int, Tensor]]) -> ImageForm:
    listed = list(_list_images(data, images))
    is_finished = listed[0][1].is_floating_point()
    sizes = {_measure(image)[1] for _, image in listed}
    channels = {_measure(image)[0] for _, image in listed}
    size = next(iter(sizes)) if len(sizes) == 1 else None
    first = _measure(listed[0][1])
    if is_finished:
        form = ImageForm(*first, is_finished=True)
    else:
        form = ImageForm(RGB if channels == {1, RGB} else first[0], size, is_finished=False)
    for place, image in listed:
        form.fit(image, place)
    return form


def _list_images(
    data: OwnData, images: Mapping[str, Mapping[int, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    for split, of_split in images.items():
        for index, image in of_split.items():
            yield data.splits[split].describe(index), image


def _measure(image: Tensor) -> tuple[int, tuple[int, int]]:
    """Returns an image's channels, and its height and width."""
    if image.is_floating_point():
        channels, height, width = image.shape
    else:
        height, width, channels = image.shape
    return channels, (height, width)


def _show(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))


def crop_padding(height: int, width: int) -> int:
    """Returns the pixels added on every side of an image before a random crop of its size."""
    return min(height, width) // 8
