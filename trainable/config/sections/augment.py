"""`augment`: random changes of training images, beside the crop and flip of `dataset.augment`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from trainable.config.schema import Positive, Section
from trainable.config.sections.dataset import (
    BuiltinDataset,
    DatasetConfig,
    FileDataset,
    SyntheticDataset,
)

Probability = Annotated[float, Field(ge=0, le=1)]

GREY_DATASETS = ("digits", "fashion_mnist", "mnist")
"""Built-in data sets whose images have one channel."""


class CropAugment(Section):
    """`augment.crop`: a random part of the image, resized to the image's size."""

    foreign_keys = {
        "scale": "the smallest share of the area is min_scale, the largest is 1",
        "ratio": "the widest aspect ratio is max_ratio, the narrowest its inverse",
    }

    min_scale: float = Field(default=0.35, gt=0, le=1, examples=[0.6])
    """Smallest share of the image's area that is cut out; the largest is 1."""
    max_ratio: float = Field(default=4 / 3, ge=1, le=10, examples=[1.5])
    """Widest ratio of width to height; the narrowest is its inverse."""


class ColorJitterAugment(Section):
    """`augment.color_jitter`: random brightness, contrast, saturation and hue."""

    brightness: float = Field(default=0.0, ge=0, le=1, examples=[0.4])
    """Factors are drawn from 1 - x to 1 + x."""
    contrast: float = Field(default=0.0, ge=0, le=1, examples=[0.4])
    """Factors are drawn from 1 - x to 1 + x."""
    saturation: float = Field(default=0.0, ge=0, le=1, examples=[0.4])
    """Factors are drawn from 1 - x to 1 + x."""
    hue: float = Field(default=0.0, ge=0, le=0.5, examples=[0.1])
    """Turns of the colour circle are drawn from -x to x."""
    probability: Probability = Field(default=1.0, examples=[0.8])
    """Share of the images that are changed."""


class BlurAugment(Section):
    """`augment.blur`: a Gaussian blur."""

    max_sigma: Positive = Field(default=2.0, le=32, examples=[1.0])
    """Largest standard deviation in pixels; the smallest is 0.1, or this if it is less."""
    probability: Probability = Field(default=0.5, examples=[0.2])
    """Share of the images that are blurred."""


class RandAugment(Section):
    """`augment.randaugment`: some operations of equal strength, drawn for each image."""

    operations: int = Field(default=2, ge=0, le=10, examples=[3])
    """Number of operations in a row (arXiv:1909.13719). The 14 there are: identity, shear and
    translation in x and y, rotation, brightness, colour, contrast, sharpness, posterize, solarize,
    auto-contrast, equalize."""
    magnitude: float = Field(default=9.0, ge=0, le=30, examples=[15])
    """Strength on torchvision's scale; a larger one is a stronger change in every operation that
    has a strength. Need not be whole."""


class ErasingAugment(Section):
    """`augment.erasing`: a rectangle takes the colour that normalisation maps to 0."""

    probability: Probability = Field(default=0.25, examples=[0.5])
    """Share of the images with a rectangle."""
    min_area: float = Field(default=0.02, gt=0, le=1, examples=[0.05])
    """Smallest share of the image."""
    max_area: float = Field(default=1 / 3, gt=0, le=1, examples=[0.2])
    """Largest share of the image."""
    max_ratio: float = Field(default=3.3, ge=1, le=10, examples=[2.0])
    """Widest ratio of width to height; the narrowest is its inverse."""

    @model_validator(mode="after")
    def _check_areas(self) -> ErasingAugment:
        if self.min_area > self.max_area:
            raise ValueError(
                f"min_area must be at most max_area ({self.max_area:g}), found {self.min_area:g}"
            )
        return self


class _Mix(Section):
    probability: Probability = Field(default=1.0, examples=[0.5])
    """Share of the pairs that are mixed. Where a pair would be mixed both ways, one of them is
    drawn."""
    off_epoch: PositiveInt | None = Field(default=None, examples=[50])
    """First epoch without it; `null`: it never ends."""


class MixupAugment(_Mix):
    """`augment.mixup`: images and labels of a pair are averaged (arXiv:1710.09412)."""

    alpha: Positive = Field(default=0.2, le=100, examples=[0.8])
    """The share of an image is drawn from Beta(alpha, alpha); larger mixes more."""


class CutmixAugment(_Mix):
    """`augment.cutmix`: a pair swaps a rectangle; labels follow its area (arXiv:1905.04899)."""

    alpha: Positive = Field(default=1.0, le=100, examples=[0.5])
    """The area that stays is drawn from Beta(alpha, alpha)."""


class AugmentConfig(Section):
    """`augment`: what is drawn anew for every training image in every epoch.

    A part that is `null` is off.
    """

    crop: CropAugment | None = Field(default=None, examples=[{"min_scale": 0.6}])
    """Takes the place of the crop of `dataset.augment`."""
    horizontal_flip: Probability | None = Field(default=None, examples=[0.5])
    """Probability of a mirrored image; takes the place of the flip of `dataset.augment`."""
    vertical_flip: Probability = Field(default=0.0, examples=[0.5])
    """Probability of an image upside down."""
    rotation: float = Field(default=0.0, ge=0, le=180, examples=[15])
    """Largest angle in degrees, to both sides. Corners become black."""
    randaugment: RandAugment | None = Field(default=None, examples=[{"magnitude": 9}])
    """RandAugment. Only one of it and the next two can be set."""
    trivialaugment: bool = Field(default=False, examples=[True])
    """TrivialAugment (Wide): one operation of random strength for each image (arXiv:2103.10158).
    Translations reach 32 pixels; in images below 32 pixels 45% of the side."""
    autoaugment: Literal["cifar10", "imagenet", "svhn"] | None = Field(
        default=None, examples=["imagenet"]
    )
    """The policies that AutoAugment found for a data set (arXiv:1805.09501)."""
    color_jitter: ColorJitterAugment | None = Field(default=None, examples=[{"brightness": 0.4}])
    """Brightness, contrast, saturation and hue."""
    grayscale: Probability = Field(default=0.0, examples=[0.1])
    """Probability of an image without colour."""
    blur: BlurAugment | None = Field(default=None, examples=[{"probability": 0.2}])
    """A Gaussian blur."""
    erasing: ErasingAugment | None = Field(default=None, examples=[{"probability": 0.25}])
    """Random erasing (arXiv:1708.04896)."""
    mixup: MixupAugment | None = Field(default=None, examples=[{"alpha": 0.2}])
    """Averages pairs of images."""
    cutmix: CutmixAugment | None = Field(default=None, examples=[{"alpha": 1.0}])
    """Swaps parts of pairs of images."""

    @model_validator(mode="after")
    def _check_policies(self) -> AugmentConfig:
        names = self.policies
        if len(names) > 1:
            raise ValueError(
                f"at most one of randaugment, trivialaugment and autoaugment can be set, found "
                f"{' and '.join(names)}"
            )
        return self

    @property
    def policies(self) -> list[str]:
        """The keys of the AutoAugment family that are set."""
        values = {
            "randaugment": self.randaugment,
            "trivialaugment": self.trivialaugment,
            "autoaugment": self.autoaugment,
        }
        return [name for name, value in values.items() if value]

    @property
    def changes_pixels(self) -> bool:
        """Whether single images are changed before they are normalised."""
        later = {"erasing": None, "mixup": None, "cutmix": None}
        return self.model_copy(update=later) != AugmentConfig()

    @property
    def mixes(self) -> bool:
        """Whether pairs can be mixed in some epoch, so that labels are soft targets."""
        return self.mixup is not None or self.cutmix is not None


def channel_problems(
    augment: AugmentConfig, dataset: DatasetConfig, channels: int | None = None
) -> Iterator[str]:
    """Yields the parts that the data set's images cannot have, each with the reason.

    Args:
        augment: The config's `augment` section.
        dataset: The config's `dataset` section.
        channels: Channels of the images; None if the data have not been read, so that only data
            sets that are known by name are checked.
    """
    channels = channels or _count_channels(dataset)
    if channels in (None, 3):
        return
    jitter = augment.color_jitter or ColorJitterAugment()
    coloured = {
        "augment.grayscale": augment.grayscale,
        "augment.color_jitter.saturation": jitter.saturation,
        "augment.color_jitter.hue": jitter.hue,
    }
    if channels != 1:
        coloured["augment.color_jitter"] = float(augment.color_jitter is not None)
        coloured |= {f"augment.{name}": 1.0 for name in augment.policies}
    count = "1 channel" if channels == 1 else f"{channels} channels"
    for key, value in coloured.items():
        if value:
            yield f"{key} needs colour images; those of {dataset.name} have {count}"


def _count_channels(dataset: DatasetConfig) -> int | None:
    """Returns the channels of a data set's images; None if only its files have them."""
    if isinstance(dataset, SyntheticDataset):
        return dataset.shape[0]
    if isinstance(dataset, BuiltinDataset):
        return 1 if dataset.name in GREY_DATASETS else 3
    return 3 if isinstance(dataset, FileDataset) else None
