"""The images of a data set as `sweep data` looks at them, one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True)
class Entry:
    """One image and what was seen of it."""

    split: str
    label: int
    name: str
    """Path below the root, or the split and the image's number."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; None if it cannot be read."""
    mode: str | None = None
    """Pillow's mode, or the kind of array; None if it cannot be read."""
    damage: str | None = None
    """Why it cannot be read; None if it can."""
    digest: bytes | None = None
    """Hash of its content; None if no other image can have the same."""
    near_hash: int | None = None
    """Difference hash; None of images that are too small for one."""


@dataclass(frozen=True)
class Examined:
    """A data set of which every image has been read."""

    classes: tuple[str, ...]
    entries: Sequence[Entry]
    """The images by split, in the order of their numbers."""
    open_image: Callable[[int], Image.Image]
    """Returns an image by its position in `entries`, in colours."""
    kept: Collection[int]
    """Positions of the images that `open_image` can return."""
    treatments: Sequence[str] = ()
    """Lines on what is done to images besides resizing."""
    notices: Sequence[str] = ()
    """Lines on what is read and what is not."""
    left_out: Sequence[str] = ()
    """Files that are not read."""
    problems: Sequence[str] = ()
    """Why every training would fail."""
    formats: Mapping[str, int] = field(default_factory=dict)
    """Extension -> number of files."""
