"""Tests of `sweeps.init.data_facts`: the counts, sizes and splits that a recipe follows from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweeps.init.data_facts import DataFacts, read_facts
from sweeps.init.draft import describe_data
from tests.support.array_files import coloured_images, write_arrays
from tests.support.image_folders import write_image_folder
from tests.support.label_tables import table_of_folder
from trainable.errors import ConfigError, DataError


def facts_of(section: dict[str, Any]) -> DataFacts:
    return read_facts(section, allow_custom_model=True)


def folder(root: Path) -> dict[str, Any]:
    return {"name": "image_folder", "root": str(root)}


def counts(facts: DataFacts) -> tuple[int, int, int | None]:
    return facts.train, facts.val, facts.test


def test_a_folder_with_its_own_test_set_is_counted(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=10, test=4, classes=("a", "b", "c"), side=40)
    (root / "train" / "a" / "0.png").unlink()
    facts = facts_of(folder(root))
    assert counts(facts) == (29, 0, 12)
    assert (facts.smallest, facts.largest, facts.classes) == (9, 10, 3)
    assert (facts.channels, facts.side, facts.is_resized) == (3, 40, True)
    assert facts.section == folder(root)


def test_class_folders_alone_get_a_test_set(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=10, test=4) / "train"
    facts = facts_of(folder(root))
    assert facts.section["test_split"] == 0.2
    assert counts(facts) == (16, 0, 4)


def test_a_folder_of_validation_images_is_used(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=10, test=4)
    write_image_folder(tmp_path / "more", train=3, test=1)
    (tmp_path / "more" / "train").rename(root / "val")
    assert counts(facts_of(folder(root))) == (20, 6, 8)


def test_a_folder_of_validation_images_alone_is_the_test_set(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=10, test=4)
    (root / "test").rename(root / "val")
    facts = facts_of(folder(root))
    assert counts(facts) == (20, 0, 8)
    assert "test_split" not in facts.section


def test_what_is_seen_of_the_files_becomes_keys_with_reasons(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=10, test=4)
    Image.new("RGBA", (9, 9), (1, 2, 3, 0)).save(root / "train" / "cat" / "clear.png")
    (root / "train" / "cat" / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.ones((9, 9), np.float32)).save(root / "train" / "cat" / "deep.tiff")
    facts = facts_of(folder(root))
    assert facts.section["background"] == [255, 255, 255]
    assert facts.section["skip_unreadable"] is True
    assert facts.section["max_value"] == "auto"
    assert facts.reasons["background"].startswith("1 of 31 images are transparent")
    assert facts.reasons["skip_unreadable"] == "1 of 31 images cannot be read"
    given = {**folder(root), "skip_unreadable": True, "background": [0, 0, 0]}
    assert facts_of(given).section["background"] == [0, 0, 0]


def test_a_table_without_splits_gets_a_test_set(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=10, test=4)
    table_of_folder(root, root / "labels.csv")
    section = {"name": "table", "root": str(root), "file": "labels.csv"}
    assert counts(facts_of(section)) == (20, 0, 8)
    lines = (root / "labels.csv").read_text(encoding="utf-8").splitlines()
    plain = "\n".join(line.rpartition(",")[0] for line in lines)
    (root / "labels.csv").write_text(plain, encoding="utf-8")
    facts = facts_of(section)
    assert facts.section["test_split"] == 0.2
    assert counts(facts) == (22, 0, 6)


def test_arrays_with_and_without_a_test_set_are_counted(tmp_path: Path) -> None:
    images, labels = coloured_images(10)
    section = {"name": "arrays", "root": str(tmp_path), "file": "a.npz"}
    write_arrays(tmp_path / "a.npz", x_train=images, y_train=labels)
    facts = facts_of(section)
    assert (facts.section["test_split"], counts(facts)) == (0.2, (16, 0, 4))
    write_arrays(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    facts = facts_of(section)
    assert counts(facts) == (20, 0, 20)
    assert (facts.side, facts.channels, facts.is_resized) == (8, 3, False)


def test_a_data_set_of_ones_own_is_called_only_if_that_is_allowed() -> None:
    facts = facts_of({"name": "own_data:arrays"})
    assert (facts.classes, counts(facts), facts.channels, facts.side) == (3, (60, 0, 30), 3, 8)
    assert describe_data(facts) == "90 images in 3 classes: 60 to train, 30 to test"
    with pytest.raises(ConfigError, match=r"dataset\.name: .*--allow-custom-model"):
        read_facts({"name": "own_data:arrays"}, allow_custom_model=False)


def test_images_of_ones_own_code_that_are_not_counted_have_no_number() -> None:
    facts = facts_of({"name": "own_data:many"})
    assert (facts.is_counted, facts.test) == (False, None)
    assert describe_data(facts) == "images in 3 classes, which were not counted"


def test_built_in_data_are_known_without_a_download(tmp_path: Path) -> None:
    facts = facts_of({"name": "cifar100", "root": str(tmp_path / "data")})
    assert (facts.classes, facts.train, facts.test, facts.side) == (100, 50000, 10000, 32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "image_folder", "root": "ROOT"}, "must hold one folder per class"),
        ({"name": "image_folder", "root": "ROOT", "no_such": 1}, "dataset.no_such: unknown key"),
    ],
)
def test_data_that_cannot_be_used_are_refused(
    section: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "alone").mkdir()
    with pytest.raises((DataError, ConfigError)) as raised:
        facts_of({**section, "root": str(tmp_path)})
    assert message in str(raised.value)
