"""`dataset`: which images, and how they are split, read and augmented."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from trainable.config.own_code import OWN_NAME
from trainable.config.schema import Arguments, ByName, Fraction, Items, Positive, Section, UserPath

ClassNames = Annotated[Items[str], Field(min_length=2)]
FOLD = "dataset.fold"
Byte = Annotated[int, Field(ge=0, le=255)]


class _Dataset(Section):
    name: str
    root: UserPath = Field(
        default="./data", examples=["/data/images"], json_schema_extra={"format": "path"}
    )
    """Directory of the data, also for downloads."""
    download: bool = Field(default=True, examples=[False])
    """Download missing files."""
    num_workers: int = Field(default=4, ge=0, examples=[8])
    """Loader processes, at most the trial's CPUs; none where shared memory (`/dev/shm`) is too
    small for them. Only images that are read one by one in every epoch need them: `image_folder`
    and `table` without the cache, and data sets of your own that are not kept in memory."""
    val_split: Fraction | None = Field(default=None, examples=[0.1])
    """Share of every class of the training set held out for validation. `null` holds out none, and
    the test set decides, unless there are `folds` or the data set has images of its own for
    validation."""
    folds: int | None = Field(default=None, ge=2, le=100, examples=[5])
    """Number of parts that the training set is divided into, each with the same proportions of
    classes. The part `fold` is the validation set, in the place of `val_split`."""
    fold: NonNegativeInt = Field(default=0, examples=[4])
    """The part of `folds` that is held out, counted from 0. It can be swept."""
    seed: int = Field(default=42, ge=0, lt=2**63, examples=[7])
    """Seed of these splits, and of the images of `synthetic`; the same on every machine."""
    augment: bool = Field(default=True, examples=[False])
    """Training images are padded with zeros, cropped at a random place and, where a mirrored
    image keeps its class, flipped with probability 1/2. Images in files: a random crop of random
    size and aspect ratio, and the flip. More changes: `augment`, a section of its own."""
    mean: Items[float] | None = Field(default=None, min_length=1, examples=[[0.5, 0.5, 0.5]])
    """Mean of each channel, of values in [0, 1], that is subtracted from the images. `null` takes
    that of the weights where `model.pretrained` is set. Otherwise it takes ImageNet's for
    images in files, and that of the training images for other data sets. A training records here
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

    @model_validator(mode="after")
    def _check_folds(self) -> _Dataset:
        if self.folds is not None and self.val_split is not None:
            raise ValueError(
                f"folds must be null where val_split is set, since both hold out images, found "
                f"{self.folds}"
            )
        if self.folds is None and self.fold:
            raise ValueError(f"fold must be 0 or null where folds is null, found {self.fold}")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold must be below folds ({self.folds}), counted from 0, found {self.fold}"
            )
        return self


class BuiltinDataset(_Dataset):
    """Built-in data set with a known shape and known classes."""

    name: Literal["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]


class _Pictures(_Dataset):
    """Images of any size, which are resized."""

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


class FileDataset(_Pictures):
    """Images in files: those of a folder or of a table."""

    test_split: Fraction | None = Field(default=None, examples=[0.2])
    """Share of every class that is the test set, where the data have none of their own. It is the
    same for every `seed`, so that results can be compared."""
    cache: bool = Field(default=True, examples=[False])
    """Decode every file once, into a file of pixels that all trials and processes of a machine
    share. Images are stored at about twice `image_size`. `false` decodes every file in every
    epoch."""
    cache_dir: UserPath | None = Field(
        default=None, examples=["/scratch/cache"], json_schema_extra={"format": "path"}
    )
    """Directory that gets a folder `.tune-sweeps-cache` with that file. `null` takes `root`, or
    where that cannot be written to or has no room, `~/.cache/tune-sweeps/decoded`."""
    cache_gib: Positive = Field(default=20.0, examples=[100.0])
    """Size in GiB of all files in that folder, beyond which those that were not used for the
    longest time are deleted. Files in use, or used within a day, stay. Files that were not used
    for 30 days are always deleted."""
    background: Annotated[Items[Byte], Field(min_length=3, max_length=3)] = Field(
        default=(255, 255, 255), examples=[[0, 0, 0]]
    )
    """Red, green and blue behind transparent images; white by default."""
    max_value: Positive | Literal["auto"] | None = Field(default=None, examples=[4095])
    """Value that is white in grey images of more than 8 bits, e.g. 4095 where a camera has 12
    bits, or 1.0 for floats. `auto`: the largest value of the data set, which a training records
    here. `null`: 65535 for 16 bits; images of 32-bit numbers are then refused."""
    max_pixels: PositiveInt | None = Field(default=None, examples=[200000000])
    """Pixels of an image beyond which it is refused, against files that take all memory. `null`:
    178,956,970, Pillow's limit."""
    skip_unreadable: bool = Field(default=False, examples=[True])
    """Leave out files that cannot be read, and list them, instead of refusing the data."""


class ImageFolderDataset(FileDataset):
    """Images in class folders: `root/train/CLASS/*`, `root/test/CLASS/*`, `root/val/CLASS/*`.

    With `test_split` also `root/CLASS/*`.
    """

    name: Literal["image_folder"]
    classes: ClassNames | None = Field(default=None, examples=[["cat", "dog"]])
    """Names of the classes in the order of their labels. `null` takes the folders of `root/train`
    by name. A training records them here; folders with other names are then refused."""


def _check_ending(file: str, endings: tuple[str, ...]) -> str:
    if not file.lower().endswith(endings):
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise ValueError(f"must end in {listed}, found {file}")
    return file


class TableDataset(FileDataset):
    """Images that a table lists, with their labels: a CSV, TSV or Parquet file."""

    name: Literal["table"]
    file: UserPath = Field(examples=["labels.csv"], json_schema_extra={"format": "path"})
    """The table: `.csv`, `.tsv` or `.parquet`, with a header. A relative path is below `root`."""
    root: UserPath = Field(
        default="./data", examples=["/data/images"], json_schema_extra={"format": "path"}
    )
    """Directory of the images, which the paths in the table are relative to."""
    path_column: str = Field(default="path", examples=["image"])
    """Column with the path of each image."""
    label_column: str = Field(default="label", examples=["class"])
    """Column with the class of each image. It is read as text: `01` and `1` are two classes."""
    split_column: str = Field(default="split", examples=["subset"])
    """Column with `train`, `val` or `test` for each image. Without such a column, `test_split`
    says how large the test set is."""
    group_column: str | None = Field(default=None, examples=["patient"])
    """Column of which equal values, e.g. those of one patient, are never on both sides of a
    split. It must not be empty: an image on its own needs a value of its own."""
    classes: ClassNames | None = Field(default=None, examples=[["cat", "dog"]])
    """Names of the classes in the order of their labels. `null` takes those of the table, in
    natural order (2 before 10). A training records them here; other names are then refused."""

    @field_validator("file")
    @classmethod
    def _check_file(cls, file: str) -> str:
        return _check_ending(file, (".csv", ".tsv", ".parquet"))


class ArraysDataset(_Dataset):
    """Images in one file of arrays: `.npz`, or `.pt` with a mapping of tensors."""

    name: Literal["arrays"]
    file: UserPath = Field(examples=["data.npz"], json_schema_extra={"format": "path"})
    """The file, with `x_train`, `y_train`, `x_test`, `y_test` and, optionally, `x_val`, `y_val`.
    Images are uint8 `[N, H, W]`, `[N, H, W, C]` or `[N, C, H, W]`, labels `[N]` whole numbers or
    texts. A relative path is below `root`."""
    layout: Literal["NHWC", "NCHW"] | None = Field(default=None, examples=["NCHW"])
    """Order of the dimensions, where both are possible. `null`: the channels are the dimension of
    size 1, 3 or 4."""
    test_split: Fraction | None = Field(default=None, examples=[0.2])
    """Share of every class that is the test set, where the file has none. It is the same for every
    `seed`, so that results can be compared."""
    classes: ClassNames | None = Field(default=None, examples=[["cat", "dog"]])
    """Names of the classes in the order of their labels. `null` takes labels that are texts, in
    natural order (2 before 10), or numbers, in ascending order; other names can be given to
    numbers. A training records them here; other labels are then refused."""

    @field_validator("file")
    @classmethod
    def _check_file(cls, file: str) -> str:
        return _check_ending(file, (".npz", ".pt"))


class OwnDataset(_Pictures):
    """A data set of your own."""

    open_names = OWN_NAME

    name: str = Field(examples=["my_data:scans"], json_schema_extra={"pattern": f"^{OWN_NAME}$"})
    """`module:callable`, called with `args`. It returns a mapping with `train`, `test` and,
    optionally, `val` and `classes`. Each split is a `torch.utils.data.Dataset` with `len` and `[]`
    whose items are an image and its label, or a pair of images and labels as for `arrays`. That
    runs your code, so the command line must allow it: `--allow-custom-model`."""
    args: Arguments = Field(default={}, examples=[{"site": "north"}])
    """Keywords of the callable. Each can be swept by its dotted key, e.g. `dataset.args.site`. A
    callable that takes a `seed` also gets `dataset.seed`."""
    root: UserPath = Field(
        default="./data", examples=["/data/images"], json_schema_extra={"format": "path"}
    )
    """Without effect: a path that the callable needs is one of its `args`."""
    image_size: int | None = Field(default=None, ge=8, le=1024, examples=[224])
    """Height and width that images are resized and cropped to. `null` takes that of the weights
    where `model.pretrained` is set, otherwise that of the images, if all have the same."""
    test_split: Fraction | None = Field(default=None, examples=[0.2])
    """Share of every class that is the test set, where the callable returns none. It is the same
    for every `seed`, so that results can be compared."""


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
    BuiltinDataset
    | ImageFolderDataset
    | TableDataset
    | ArraysDataset
    | SyntheticDataset
    | OwnDataset,
    ByName("dataset"),
]
