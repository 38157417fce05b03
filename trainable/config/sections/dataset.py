"""`dataset`: which images, and how they are split and augmented."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator

from trainable.config.schema import ByName, Fraction, Items, Positive, Section, UserPath

ClassNames = Annotated[Items[str], Field(min_length=2)]


class _Dataset(Section):
    name: str
    root: UserPath = Field(
        default="./data", examples=["/data/images"], json_schema_extra={"format": "path"}
    )
    """Directory of the data, also for downloads."""
    download: bool = Field(default=True, examples=[False])
    """Download missing files."""
    num_workers: int = Field(default=4, ge=0, examples=[8])
    """Loader processes of `image_folder`, at most the trial's CPUs; none where shared memory
    (`/dev/shm`) is too small for them. Other data sets are kept in the device's memory and use
    none."""
    val_split: Fraction | None = Field(default=None, examples=[0.1])
    """Share of every class of the training set held out for validation. `null` holds out none, and
    the test set decides, unless `image_folder` has a folder of its own for validation."""
    seed: int = Field(default=42, ge=0, lt=2**63, examples=[7])
    """Seed of that split, and of the images of `synthetic`; the same on every machine."""
    augment: bool = Field(default=True, examples=[False])
    """Training images are padded with zeros, cropped at a random place and, where a mirrored
    image keeps its class, flipped with probability 1/2. `image_folder`: a random crop of random
    size and aspect ratio, and the flip. More changes: `augment`, a section of its own."""
    mean: Items[float] | None = Field(default=None, min_length=1, examples=[[0.5, 0.5, 0.5]])
    """Mean of each channel, of values in [0, 1], that is subtracted from the images. `null` takes
    that of the weights where `model.pretrained` is set. Otherwise it takes ImageNet's for
    `image_folder`, and that of the training images for other data sets. A training records here
    what it used."""
    std: Items[Positive] | None = Field(default=None, min_length=1, examples=[[0.5, 0.5, 0.5]])
    """Standard deviation of each channel, by which the images are then divided. `null`: as for
    `mean`."""
    classes: ClassNames | None = Field(default=None, examples=[["cat", "dog"]])
    """Names of the classes in the order of their labels. A training records them here; a list that
    is not the data set's is refused."""

    @field_validator("classes")
    @classmethod
    def _check_unique(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in dict.fromkeys(classes or ()) if (classes or ()).count(name) > 1]
        if twice:
            raise ValueError(f"must name every class once, found twice: {', '.join(twice)}")
        return classes


class BuiltinDataset(_Dataset):
    """Built-in data set with a known shape and known classes."""

    name: Literal["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]


class ImageFolderDataset(_Dataset):
    """Images in class folders: `root/train/CLASS/*`, `root/test/CLASS/*`, `root/val/CLASS/*`."""

    name: Literal["image_folder"]
    image_size: int | None = Field(default=None, ge=8, le=1024, examples=[224])
    """Height and width that images are cropped to. `null` takes that of the weights where
    `model.pretrained` is set, otherwise 64."""
    interpolation: Literal["bicubic", "bilinear", "nearest"] | None = Field(
        default=None, examples=["bicubic"]
    )
    """How images are resized. `null` takes the weights' where `model.pretrained` is set, otherwise
    `bilinear`."""
    crop_share: float | None = Field(default=None, gt=0, le=1, examples=[0.95])
    """Share of the shorter side that the crop in the middle has in evaluation. `null` takes the
    weights' where `model.pretrained` is set, otherwise 0.875."""
    classes: ClassNames | None = Field(default=None, examples=[["cat", "dog"]])
    """Names of the classes in the order of their labels. `null` takes the folders of `root/train`
    by name. A training records them here; folders with other names are then refused."""


class SyntheticDataset(_Dataset):
    """Random images of a stated shape, for throughput."""

    name: Literal["synthetic"]
    shape: Items[PositiveInt] = Field(
        default=(3, 32, 32), min_length=3, max_length=3, examples=[[1, 28, 28]]
    )
    """Channels, height and width in pixels."""
    num_classes: int = Field(default=10, ge=2, examples=[100])
    """Number of classes."""
    num_train: PositiveInt = Field(default=50000, examples=[10000])
    """Number of training images."""
    num_test: PositiveInt = Field(default=10000, examples=[1000])
    """Number of test images."""


DatasetConfig = Annotated[
    BuiltinDataset | ImageFolderDataset | SyntheticDataset, ByName("dataset")
]
