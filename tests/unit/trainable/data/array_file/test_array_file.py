"""Which images and labels a file of arrays has, and what is refused before any pixel is read."""

import re

import numpy as np
import pytest

from tests.support.array_files import arrays_dataset, coloured_images, example_arrays, write_arrays
from trainable.data import array_file
from trainable.data.array_file import load_array_file, summarize_arrays
from trainable.errors import DataError


def write(root, file="data.npz", **others):
    write_arrays(root / file, **example_arrays(**others))
    return root


def refusal(root, file="data.npz", /, *, others=None, **keys) -> str:
    write(root, file, **(others or {}))
    with pytest.raises(DataError) as error:
        summarize_arrays(arrays_dataset(root, file, **keys))
    start = f"dataset.file {root / file}: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


GREY = coloured_images(8, channels=1)[0]
COLOURED = coloured_images(8)[0]
LAYOUTS = {
    "NHW": (GREY, GREY[..., 0]),
    "NHWC of one": (GREY, GREY),
    "NCHW of one": (GREY, np.moveaxis(GREY, 3, 1)),
    "NHWC": (COLOURED, COLOURED),
    "NCHW": (COLOURED, np.moveaxis(COLOURED, 3, 1)),
    "NCHW in memory": (COLOURED, np.ascontiguousarray(np.moveaxis(COLOURED, 3, 1))),
    "Fortran's order": (COLOURED, np.asfortranarray(COLOURED)),
}


@pytest.mark.parametrize("file", ["data.npz", "data.pt"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_format_gives_the_same_pixels(tmp_path, file, layout):
    expected, stored = LAYOUTS[layout]
    write(tmp_path, file, x_train=stored, x_test=stored[:8])
    images = load_array_file(arrays_dataset(tmp_path, file))
    np.testing.assert_array_equal(images.train.pixels, expected)
    np.testing.assert_array_equal(images.test.pixels, expected[:8])
    assert images.train.pixels.dtype == np.uint8
    assert images.val is None
    assert images.crop_padding == 1


@pytest.mark.parametrize(("layout", "image"), [("NHWC", (3, 3, 3)), ("NCHW", (3, 3, 3))])
def test_where_both_layouts_are_possible_the_config_decides(tmp_path, layout, image):
    pixels = np.arange(16 * 27, dtype=np.uint16).astype(np.uint8).reshape(16, 3, 3, 3)
    rule = refusal(tmp_path, others={"x_train": pixels, "x_test": pixels[:8]})
    assert rule == (
        "dataset.layout must be NHWC or NCHW for images of shape [16, 3, 3, 3]: both the second "
        "and the last dimension can be the channels (1, 3 or 4)"
    )
    dataset = arrays_dataset(tmp_path, layout=layout)
    assert summarize_arrays(dataset).image == image
    expected = pixels if layout == "NHWC" else np.moveaxis(pixels, 1, 3)
    np.testing.assert_array_equal(load_array_file(dataset).train.pixels, expected)


def test_other_channels_need_a_layout(tmp_path):
    pixels = np.zeros((16, 5, 6, 7), dtype=np.uint8)
    rule = refusal(tmp_path, others={"x_train": pixels, "x_test": pixels[:8]})
    assert rule.endswith("neither the second nor the last dimension has 1, 3 or 4 channels")
    assert summarize_arrays(arrays_dataset(tmp_path, layout="NCHW")).image == (5, 6, 7)
    assert summarize_arrays(arrays_dataset(tmp_path, layout="NHWC")).image == (7, 5, 6)


def test_a_summary_has_the_classes_labels_and_size_of_the_images(tmp_path):
    write(tmp_path, x_val=COLOURED[:3], y_val=np.array([1, 0, 1]))
    summary = summarize_arrays(arrays_dataset(tmp_path))
    assert summary.classes == ("0", "1")
    assert summary.image == (3, 8, 8)
    assert {split: len(labels) for split, labels in summary.labels.items()} == {
        "train": 16,
        "test": 8,
        "val": 3,
    }
    val = load_array_file(arrays_dataset(tmp_path)).val
    assert val is not None
    assert val.labels.tolist() == [1, 0, 1]


def test_test_split_draws_the_same_test_set_for_every_seed(tmp_path):
    write(tmp_path, x_test=None, y_test=None)
    parts = [
        load_array_file(arrays_dataset(tmp_path, test_split=0.25, seed=seed)) for seed in (1, 2)
    ]
    for images in parts:
        assert np.bincount(images.test.labels).tolist() == [2, 2]
        assert np.bincount(images.train.labels).tolist() == [6, 6]
    np.testing.assert_array_equal(parts[0].test.pixels, parts[1].test.pixels)


@pytest.mark.parametrize(
    ("others", "keys", "rule"),
    [
        (
            {"x_test": None, "y_test": None},
            {},
            "there is no test set: add x_test and y_test, or set dataset.test_split to the share "
            "of the images that is to be the test set",
        ),
        (
            {},
            {"test_split": 0.2},
            "dataset.test_split must be null, because there is x_test, found 0.2",
        ),
        (
            {"x_val": COLOURED, "y_val": np.arange(16) % 2},
            {"val_split": 0.1},
            "dataset.val_split must be null, because there is x_val, found 0.1",
        ),
        (
            {"x_val": COLOURED, "y_val": np.arange(16) % 2},
            {"folds": 5},
            "dataset.folds must be null, because there is x_val, found 5",
        ),
        (
            {"y_test": None},
            {},
            'there is no y_test; did you mean "x_test"? (arrays: x_test, x_train, y_train)',
        ),
        (
            {"y_train": np.arange(15) % 2},
            {},
            "x_train and y_train must be equally long, found 16 images and 15 labels",
        ),
        (
            {"x_test": COLOURED[:8, :4]},
            {},
            "all images must have one size, found x_train [16, 8, 8, 3], x_test [8, 4, 8, 3]",
        ),
        (
            {"x_test": COLOURED[:8, ..., 0]},
            {},
            "all images must have one size, found x_train [16, 8, 8, 3], x_test [8, 8, 8]",
        ),
        (
            {"x_train": COLOURED[:0], "y_train": np.arange(0)},
            {},
            "x_train must have images with pixels, found [0, 8, 8, 3]",
        ),
        (
            {"x_train": COLOURED.reshape(16, -1)},
            {},
            "x_train must have the shape [N, H, W], [N, H, W, C] or [N, C, H, W], found [16, 192]",
        ),
        (
            {"x_train": COLOURED / np.float32(255)},
            {},
            "x_train must be uint8, found float32; for values up to 1, save (x_train * "
            "255).round() as uint8",
        ),
        (
            {"x_train": COLOURED.astype(np.int64)},
            {},
            "x_train must be uint8, found int64; scale the values to 0..255 and save them as "
            "uint8",
        ),
    ],
)
@pytest.mark.parametrize("file", ["data.npz", "data.pt"])
def test_what_does_not_fit_is_refused(tmp_path, file, others, keys, rule):
    assert refusal(tmp_path, file, others=others, **keys) == rule


def test_all_problems_are_listed_at_once(tmp_path):
    rule = refusal(
        tmp_path,
        others={
            "x_train": COLOURED.astype(np.float64),
            "y_train": np.arange(16) / 2,
            "y_test": np.eye(8, dtype=np.int64),
        },
    )
    assert rule == (
        "x_train must be uint8, found float64; for values up to 1, save (x_train * 255).round() "
        "as uint8; y_train must hold whole numbers or texts, found float64; y_train.astype(int); "
        "y_test must have one label per image, found [8, 8]; of one-hot labels save "
        "y_test.argmax(1)"
    )


def test_images_that_do_not_fit_into_memory_are_refused_unread(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(array_file, "available_memory", lambda: 4000)
    with pytest.raises(DataError) as error:
        load_array_file(arrays_dataset(tmp_path))
    assert re.search(
        r"loading the images takes about 0\.0 GiB of memory, 2 times their size \(x_train "
        r"\[16, 8, 8, 3\] is 0\.0 GiB, x_test .*\), and 0\.0 GiB are available; larger data "
        "sets can be files with a table",
        str(error.value),
    )


def test_no_pixel_is_read_for_a_summary(tmp_path):
    """Pixels far from the header are damaged, so reading them would fail."""
    pixels = np.random.default_rng(0).integers(256, size=(16, 64, 64, 3), dtype=np.uint8)
    arrays = example_arrays(x_train=pixels, x_test=pixels[:8])
    file = write_arrays(tmp_path / "data.npz", **arrays)
    whole = file.read_bytes()
    start = whole.index(b"x_train.npy") + 100_000
    file.write_bytes(whole[:start] + b"\0" * 400 + whole[start + 400 :])
    assert summarize_arrays(arrays_dataset(tmp_path)).classes == ("0", "1")
    with pytest.raises(DataError, match="must be whole, but x_train is damaged"):
        load_array_file(arrays_dataset(tmp_path))


def test_a_missing_file_is_refused_and_one_in_the_working_directory_named(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path))
    with pytest.raises(DataError) as error:
        summarize_arrays(arrays_dataset(tmp_path / "data"))
    assert str(error.value) == (
        f"dataset.file must be below dataset.root; there is no {tmp_path / 'data' / 'data.npz'}; "
        f"for the one in the working directory, write {tmp_path / 'data.npz'}"
    )
