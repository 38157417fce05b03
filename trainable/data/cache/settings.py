"""Settings of the decoded images of a data set: what pixels depend on, and where they are."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainable.config.preprocessing import complete_preprocessing
from trainable.config.sections.dataset import ImageFolderDataset, TableDataset
from trainable.data.image_file import DEFAULT, ReadRules, read_rules

FOLDER = ".tune-sweeps-cache"
"""Folder of all caches in a directory; hidden, so that it is no class of an image folder."""
CHANNELS = 3
SMALL_SIDE = 128
"""Images are stored at up to twice `image_size` if that is at most this."""
LARGE_SHARE = 10 / 7
"""Larger images are stored at this multiple of `image_size`, e.g. 320 for 224."""


@dataclass(frozen=True)
class CacheSettings:
    """Settings of the decoded images of a data set."""

    root: Path
    """Directory of the data set."""
    side: int
    """Pixels beyond which height and width are reduced to this, each for itself."""
    interpolation: Literal["bicubic", "bilinear", "nearest"] = "bilinear"
    rules: ReadRules = DEFAULT
    crop_share: float | None = None
    """Share of the shorter side that is cropped in the middle of every image, as evaluation does;
    the crop, of `side` x `side`, is then all that is stored."""
    skip_unreadable: bool = False
    """Whether files that cannot be read are left out instead of refused."""
    directory: Path | None = None
    """`dataset.cache_dir`."""
    limit: int = 20 * 2**30
    """Bytes of all caches in a directory beyond which old ones are deleted."""
    threads: int = 1
    """Threads that decode and read."""

    def folders(self) -> list[Path]:
        """Returns the folders that may have the cache; the first one with room gets it."""
        if self.directory is not None:
            return [self.directory / FOLDER]
        return [self.root / FOLDER, user_cache() / "decoded"]


def user_cache() -> Path:
    """Returns the user's directory for caches of this project, which need not exist."""
    try:
        directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a name, as containers have them
        directory = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    return directory / "tune-sweeps"


def cache_settings(dataset: ImageFolderDataset | TableDataset, threads: int = 1) -> CacheSettings:
    """Returns the settings that a data set's section stands for.

    Args:
        dataset: The config's `dataset` section; `max_value` is no longer `auto`.
        threads: Threads that decode and read: the CPUs that the training may use.
    """
    used = complete_preprocessing(dataset, CHANNELS)
    return CacheSettings(
        root=Path(dataset.root).absolute(),
        side=stored_side(used.image_size, used.crop_share),
        interpolation=used.interpolation,
        rules=read_rules(dataset),
        skip_unreadable=dataset.skip_unreadable,
        directory=None if dataset.cache_dir is None else Path(dataset.cache_dir).absolute(),
        limit=int(dataset.cache_gib * 2**30),
        threads=max(1, threads),
    )


def stored_side(image_size: int, crop_share: float) -> int:
    """Returns the largest side of stored images, so that a random crop still has its detail.

    Args:
        image_size: Side of the images that a model gets.
        crop_share: Share of the shorter side that evaluation uses.
    """
    doubled = min(2 * image_size, max(SMALL_SIDE, math.ceil(image_size * LARGE_SHARE)))
    return max(doubled, round(image_size / crop_share))
