"""The preprocessing of images: the keys of `dataset` that follow the weights of a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from trainable.config.schema import Section
from trainable.config.sections.dataset import FileDataset

_Dataset = TypeVar("_Dataset", bound=Section)


@dataclass(frozen=True)
class Preprocessing:
    """Treatment of images before a model gets them; the names are those of keys of `dataset`.

    The defaults are those of images in files. Mean and standard deviation are those of red, green
    and blue in ImageNet, which suit most photographs.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: Literal["bicubic", "bilinear", "nearest"] = "bilinear"
    crop_share: float = 224 / 256
    image_size: int = 64


def complete_preprocessing(dataset: Section, channels: int) -> Preprocessing:
    """Returns the preprocessing of a data set, with the defaults for keys that are null."""
    complete = with_preprocessing(dataset, channels, Preprocessing())
    return Preprocessing(
        **{
            key: getattr(complete, key)
            for key in asdict(Preprocessing())
            if hasattr(complete, key)
        }
    )


def preprocessing_keys() -> list[str]:
    """Returns the keys of `dataset` that follow the weights of a model."""
    return [*asdict(Preprocessing())]


def null_keys(dataset: Section) -> list[str]:
    """Returns the keys of the preprocessing that a data set has and that are null."""
    return [key for key in preprocessing_keys() if getattr(dataset, key, False) is None]


def with_preprocessing(
    dataset: _Dataset, channels: int, weights: Preprocessing | None = None
) -> _Dataset:
    """Fills in the keys of the preprocessing that are null.

    Args:
        dataset: The config's `dataset` section.
        channels: Channels of its images. Statistics of another number of channels are replaced by
            their mean.
        weights: What the weights of the model were trained with; None takes the defaults. Data
            sets other than those of files have none for mean and standard deviation, which are
            computed from the images.
    """
    if weights is None and not isinstance(dataset, FileDataset):
        return dataset
    values: dict[str, Any] = asdict(weights or Preprocessing())
    for key in ("mean", "std"):
        values[key] = fit_channels(values[key], channels)
    return dataset.model_copy(update={key: values[key] for key in null_keys(dataset)})


def fit_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Returns one value per channel; those of another number of channels become their mean."""
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels
