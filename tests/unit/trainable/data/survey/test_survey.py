"""Keys whose meaning depends on all files: `skip_unreadable` and `max_value: auto`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainable.config import ImageFolderDataset
from trainable.data import survey
from trainable.data.image_file import read_rules
from trainable.data.listing import list_images
from trainable.data.splits.divide import divide
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

MAX_VALUE = 3000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 12-bit images in 16-bit files, six for training and two to test each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = rng.integers(MAX_VALUE - 100, size=(12, 12), dtype=np.uint16)
                Image.fromarray(values).save(folder / f"{number}.png")
    brightest = np.full((12, 12), MAX_VALUE, dtype=np.uint16)
    Image.fromarray(brightest).save(tmp_path / "test" / "dog" / "1.png")
    return tmp_path


def section(root: Path, **keys: Any) -> ImageFolderDataset:
    return ImageFolderDataset(name="image_folder", root=str(root), image_size=8, **keys)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def test_auto_is_the_largest_value_of_all_splits(root: Path) -> None:
    record = divide(section(root, max_value="auto")).record
    assert record.max_value == MAX_VALUE
    assert read_rules(section(root, max_value="auto"), record.max_value).max_value == MAX_VALUE
    assert divide(section(root)).record.max_value is None
    assert SplitRecord.from_dict(record.to_dict()) == record


def test_auto_stays_what_it_was_when_brighter_images_come(root: Path) -> None:
    record = divide(section(root, max_value="auto")).record
    brighter = np.full((12, 12), 2 * MAX_VALUE, dtype=np.uint16)
    Image.fromarray(brighter).save(root / "train" / "cat" / "7.png")
    assert divide(section(root, max_value="auto"), record).record.max_value == MAX_VALUE
    assert divide(section(root, max_value="auto")).record.max_value == 2 * MAX_VALUE


def test_auto_is_that_of_16_bits_without_such_images(root: Path) -> None:
    for path in root.rglob("*.png"):
        Image.new("L", (12, 12)).save(path)
    assert divide(section(root, max_value="auto")).record.max_value == 65535


def test_auto_takes_floats(root: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.75, dtype=np.float32)).save(root / "train" / "cat" / "f.tif")
    for path in root.rglob("*.png"):
        Image.new("L", (12, 12)).save(path)
    assert divide(section(root, max_value="auto")).record.max_value == 0.75


def test_unreadable_images_are_left_out_and_listed(root: Path) -> None:
    dataset = section(root, skip_unreadable=True, val_split=0.5)
    cut(root / "train" / "cat" / "0.png")
    (root / "test" / "dog" / "0.png").write_text("no image")
    divided = divide(dataset)
    keys = {image.key for images in divided.images.values() for image in images}
    assert len(keys) == 14
    assert not keys & {"train/cat/0.png", "test/dog/0.png"}
    assert divided.listing.left_out == ["train/cat/0.png", "test/dog/0.png"]
    (notice,) = divided.listing.notices
    assert notice.startswith(
        "2 of 16 images cannot be read and are left out (dataset.skip_unreadable): "
        "train/cat/0.png: "
    )
    assert notice.endswith("test/dog/0.png: it is no image, or its beginning is damaged")
    again = divide(dataset, divided.record)
    assert again.images == divided.images
    assert again.changes == ()


def test_a_class_without_a_readable_image_is_named(root: Path) -> None:
    for path in (root / "test" / "dog").iterdir():
        cut(path)
    with pytest.raises(DataError, match=f"no image of class dog in {root}/test can be read"):
        divide(section(root, skip_unreadable=True))


def test_a_process_decodes_the_same_files_once(root: Path, monkeypatch: Any) -> None:
    images = [i for split in list_images(section(root)).splits.values() for i in split]
    read: list[str] = []
    inspect = survey.inspect_image

    def count(path: str, **keys: Any) -> survey.Inspection:
        read.append(path)
        return inspect(path, **keys)

    monkeypatch.setattr(survey, "inspect_image", count)
    rules = read_rules(section(root))
    first = survey.survey_images(images, rules)
    assert survey.survey_images(images, rules) == first
    assert len(read) == 16
    cut(root / "train" / "cat" / "0.png")
    assert list(survey.survey_images(images, rules).unreadable) == ["train/cat/0.png"]
    assert len(read) == 32


def test_other_processes_read_what_was_kept(root: Path, monkeypatch: Any) -> None:
    dataset = section(root, max_value="auto", skip_unreadable=True)
    cut(root / "train" / "cat" / "0.png")
    folder = root / ".tune-sweeps-cache"
    first = divide(dataset)
    assert not folder.exists()
    survey._surveys.clear()
    folder.mkdir()
    assert divide(dataset).images == first.images
    (file,) = folder.iterdir()
    survey._surveys.clear()
    monkeypatch.setattr(survey, "_decode", None)  # is not called
    again = divide(dataset)
    assert (again.images, again.record) == (first.images, first.record)
    monkeypatch.undo()
    survey._surveys.clear()
    file.write_text("{")
    assert divide(dataset).record == first.record
