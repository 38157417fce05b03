"""Image folders: problems by the names of classes and files, before anything is trained."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainable.config import ImageFolderDataset
from trainable.preflight import images
from trainable.preflight.images import check_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes; six training and two test images each, JPEG and PNG."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(255, size=(24, 24, 3), dtype=np.uint8)
                suffix = "jpg" if number % 2 else "png"
                Image.fromarray(pixels).save(folder / f"{number}.{suffix}")
    return tmp_path


def problems(root: Path, *, decode_all: bool = False, **keys: Any) -> dict[str, str]:
    dataset = ImageFolderDataset(name="image_folder", root=str(root), image_size=16, **keys)
    result = check_images(dataset, decode_all=decode_all)
    shape = result.shape
    assert shape is None or (shape.num_classes, shape.image) == (2, (3, 16, 16))
    return {problem.key: problem.rule for problem in result.problems}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def test_a_good_folder_has_no_problem(root: Path) -> None:
    assert problems(root, val_split=0.2) == {}


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    reported = problems(tmp_path / "gone")["dataset.root"]
    assert reported == f"there is no directory {tmp_path}/gone; correct the path, or mount it"


def test_classes_are_compared_by_name(root: Path) -> None:
    shutil.move(root / "test" / "dog", root / "test" / "wolf")
    reported = problems(root)["dataset.root"]
    assert "must hold the same classes" in reported
    assert "dog" in reported
    assert "wolf" in reported


def test_one_class_and_an_empty_class_are_refused(root: Path) -> None:
    for file in (root / "train" / "dog").iterdir():
        file.unlink()
    assert f"{root}/train/dog must hold at least one image" in problems(root)["dataset.root"]
    for split in ("train", "test"):
        shutil.rmtree(root / split / "dog")
    assert "at least 2 classes, found cat alone" in problems(root)["dataset.root"]


def test_a_class_that_cannot_be_split_is_named(root: Path) -> None:
    for file in sorted((root / "train" / "dog").iterdir())[1:]:
        file.unlink()
    reported = problems(root, val_split=0.2)
    assert reported["dataset.val_split"].endswith("found 1 of class dog")
    assert problems(root) == {}


def test_damaged_files_are_named_with_the_reason(root: Path) -> None:
    cut(root / "train" / "cat" / "0.png")
    cut(root / "train" / "dog" / "1.jpg")
    (root / "test" / "dog" / "0.png").write_text("no image")
    (root / "test" / "dog" / "1.jpg").write_bytes(b"")
    reported = problems(root)["dataset.root"]
    assert reported.startswith(f"{root} has 4 images that cannot be read")
    for name in ("train/cat/0.png", "train/dog/1.jpg", "test/dog/0.png", "test/dog/1.jpg"):
        assert f"{name}: " in reported


def test_damage_behind_the_header_is_found_by_decoding(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "train" / "dog" / "1.jpg"
    content = bytearray(path.read_bytes())
    table = content.index(b"\xff\xc4")  # the Huffman tables, which only the decoder reads
    content[table + 4 : table + 20] = b"\xff" * 16
    path.write_bytes(content)
    assert "train/dog/1.jpg" in problems(root)["dataset.root"]  # in a sample
    monkeypatch.setattr(images, "MAX_DECODED_PIXELS", 1)
    assert problems(root) == {}
    assert "train/dog/1.jpg" in problems(root, decode_all=True)["dataset.root"]


def test_a_large_folder_is_sampled_evenly(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_HEADERS", 8)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for file in (root / split / name).iterdir():
                file.write_text("no image")
    assert f"{root} has 8 images" in problems(root)["dataset.root"]
    assert f"{root} has 16 images" in problems(root, decode_all=True)["dataset.root"]


def test_what_is_done_to_images_is_counted(root: Path) -> None:
    picture = Image.open(root / "train" / "cat" / "0.png")
    picture.convert("RGBA").save(root / "train" / "cat" / "clear.png")
    Image.fromarray(np.zeros((24, 24), dtype=np.uint16)).save(root / "train" / "dog" / "deep.png")
    (root / "train" / "dog" / "notes.txt").touch()
    dataset = ImageFolderDataset(name="image_folder", root=str(root))
    assert check_images(dataset).notices == [
        "not read as images: 1 .txt (train/dog/notes.txt)",
        "1 of 18 images: transparent, composited on white",
        "1 of 18 images: grey of more than 8 bits, scaled to 8 bits (65535 is white)",
    ]
    assert check_images(dataset).problems == []


def test_a_mode_without_a_known_range_is_refused(root: Path) -> None:
    Image.fromarray(np.zeros((24, 24), dtype=np.float32)).save(root / "train" / "dog" / "f.tif")
    assert "train/dog/f.tif: mode F (floats)" in problems(root)["dataset.root"]


def test_training_images_in_the_test_set_are_said(root: Path) -> None:
    shutil.copy(root / "train" / "cat" / "0.png", root / "test" / "dog" / "copy.png")
    shutil.copy(root / "train" / "cat" / "1.jpg", root / "test" / "cat" / "copy.jpg")
    result = check_images(ImageFolderDataset(name="image_folder", root=str(root)))
    assert result.problems == []
    assert result.notices == [
        "2 of 6 test images (33.3%) are also training images, byte for byte, so that the score is "
        "too good; remove them from one side: test/cat/copy.jpg = train/cat/1.jpg; ..."
    ]


def test_of_many_files_some_are_compared(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_COMPARED", 4)
    for path in (root / "test").rglob("*.*"):
        shutil.copy(root / "train" / "cat" / "0.png", path.with_suffix(".png"))
    (notice,) = check_images(ImageFolderDataset(name="image_folder", root=str(root))).notices
    assert notice.startswith("1 of 1 sampled test images (100.0%)")


def test_unreadable_files_are_left_out_where_the_config_says_so(root: Path) -> None:
    cut(root / "train" / "cat" / "0.png")
    skips = {"skip_unreadable": True, "val_split": 0.5}
    dataset = ImageFolderDataset(name="image_folder", root=str(root), **skips)
    result = check_images(dataset)
    assert result.problems == []
    assert result.notices[0].startswith(
        "1 of 16 images cannot be read and are left out (dataset.skip_unreadable): "
        "train/cat/0.png: "
    )
    for path in sorted((root / "train" / "cat").iterdir())[1:5]:
        path.write_bytes(b"")
    assert "found 1 of" in problems(root, **skips)["dataset.val_split"]


def test_deep_images_are_read_by_the_rules_of_the_config(root: Path) -> None:
    values = np.full((24, 24), 4000, dtype=np.int32)
    Image.fromarray(values).save(root / "train" / "dog" / "deep.tif")
    assert "train/dog/deep.tif: mode I" in problems(root)["dataset.root"]
    for max_value, white in ((4095, "4095"), ("auto", "the largest value of all")):
        dataset = ImageFolderDataset(name="image_folder", root=str(root), max_value=max_value)
        result = check_images(dataset)
        assert result.problems == []
        assert result.notices == [
            f"1 of 17 images: grey of more than 8 bits, scaled to 8 bits ({white} is white)"
        ]


def test_dark_images_are_said(root: Path) -> None:
    for name in ("cat", "dog"):
        values = np.full((24, 24), 4000, dtype=np.uint16)
        Image.fromarray(values).save(root / "train" / name / "deep.png")
    notices = check_images(ImageFolderDataset(name="image_folder", root=str(root))).notices
    assert notices[1] == (
        "the largest value of these grey images is 4000, so that they are dark; "
        "dataset.max_value: 4000, or auto, makes it white"
    )


def test_configs_share_what_was_seen_of_the_files(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[str] = []
    inspect = images.inspect_image

    def count(path: str, **keys: Any) -> Any:
        paths.append(path)
        return inspect(path, **keys)

    monkeypatch.setattr(images, "inspect_image", count)
    looks: dict[Any, Any] = {}
    for fold in range(3):
        dataset = ImageFolderDataset(name="image_folder", root=str(root), folds=3, fold=fold)
        assert check_images(dataset, looks=looks).problems == []
    assert len(paths) == 2 * 16  # the header of each, and its pixels
    check_images(dataset.model_copy(update={"max_pixels": 10}), looks=looks)
    assert len(paths) > 2 * 16
