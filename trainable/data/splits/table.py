"""`split.csv`: the split of every image of a data set of files, to be looked at."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from trainable.artifacts.names import SPLIT_TABLE
from trainable.atomic_files import write_text
from trainable.data.listing import TEST, TRAIN, VAL, ListedImage
from trainable.data.splits.divide import DividedImages


def write_split_table(directory: Path, divided: DividedImages) -> None:
    """Writes `split.csv`, unless it has the same content already.

    It has one row per image: its path below the root, its class and its split. With folds it also
    has the fold of every training image, whichever one is held out, and with groups the group.

    Args:
        directory: The experiment directory.
        divided: The images.
    """
    path, text = directory / SPLIT_TABLE, format_split_table(divided)
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)


def format_split_table(divided: DividedImages) -> str:
    """Returns the content of `split.csv`."""
    record, root = divided.record, divided.listing.root.absolute()
    columns = ["path", "class", "split"]
    columns += ["fold"] if record.folds is not None else []
    columns += ["group"] if record.group_column is not None else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for split, image in _images(divided):
        values = {
            "path": _relative(image.path, root),
            "class": divided.listing.classes[image.label],
            "split": split,
            "fold": "" if split == TEST or record.folds is None else record.part_of(image),
            "group": image.group,
        }
        writer.writerow([values[column] for column in columns])
    # Names that are no UTF-8 are written with escapes.
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def _images(divided: DividedImages) -> Iterator[tuple[str, ListedImage]]:
    for split in (TRAIN, VAL, TEST):
        for image in divided.images.get(split, ()):
            yield split, image


def _relative(path: str, root: Path) -> str:
    prefix = f"{root}/"
    absolute = str(Path(path).absolute())
    return absolute.removeprefix(prefix)
