import numpy as np
import pytest
import torch
from PIL import Image

from trainable.config import ImageFolderDataset
from trainable.data.folder import FolderSource
from trainable.data.loading import load_data
from trainable.data.shapes import dataset_shape
from trainable.errors import DataError

CPU = torch.device("cpu")
CLASSES = ("cat", "dog", "emu")
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def write_images(folder, count, seed):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = rng.integers(20, 40, size=2)
        pixels = rng.integers(256, size=(height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def root(tmp_path):
    for label, name in enumerate(CLASSES):
        write_images(tmp_path / "train" / name, 8, seed=label)
        write_images(tmp_path / "test" / name, 3, seed=10 + label)
    return tmp_path


def config(root, **keys):
    return ImageFolderDataset(name="image_folder", root=str(root), **{"image_size": 16, **keys})


def make_source(root, num_workers=0, **keys):
    return FolderSource(config(root, **keys), CPU, num_workers=num_workers)


def one_pass(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_folders_become_classes_in_order_of_their_names(root):
    source = load_data(config(root), CPU)
    assert source.class_names == CLASSES
    assert source.shape == (3, 16, 16)
    assert (source.size("train"), source.size("test"), source.has_val) == (24, 9, False)
    assert (source.num_classes, source.shape[0]) == dataset_shape(config(root))


def test_batches_have_the_promised_type_and_layout(root):
    source = make_source(root)
    for batches in (source.train_batches(5, seed=0), source.eval_batches("test", 5)):
        images, labels = next(batches)
        assert images.shape == (5, 3, 16, 16)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64


def test_evaluation_images_are_resized_cropped_in_the_middle_and_in_order(root):
    images, labels = one_pass(make_source(root).eval_batches("test", 4))
    assert labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    with Image.open(root / "test" / "cat" / "0.png") as image:
        width, height = image.size
        scale = 18 / min(width, height)  # 16 * 256 / 224
        size = (int(width * scale), int(height * scale))
        resized = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - 16) / 2) for side in size)
    pixels = np.array(resized.crop((left, top, left + 16, top + 16)))
    expected = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - MEAN) / STD
    torch.testing.assert_close(images[0], expected, atol=1e-5, rtol=1e-5)


def test_every_training_image_comes_exactly_once_in_a_shuffled_order(root):
    _, labels = one_pass(make_source(root).train_batches(5, seed=0))
    assert labels.bincount().tolist() == [8, 8, 8]
    assert labels.tolist() != sorted(labels.tolist())


def test_a_last_batch_of_one_image_is_left_out(root):
    sizes = [len(labels) for _, labels in make_source(root).train_batches(23, seed=0)]
    assert sizes == [23]


def test_a_pass_is_a_function_of_its_seed(root):
    source = make_source(root)
    first, again, other = (one_pass(source.train_batches(5, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_an_image_is_cropped_differently_in_every_pass(root):
    """Compares image by image in any order: no crop of one pass occurs in the next."""
    source = make_source(root)
    crops = [
        {image.numpy().tobytes() for image in one_pass(source.train_batches(5, seed=seed))[0]}
        for seed in (1, 2)
    ]
    assert len(crops[0]) == len(crops[1]) == 24
    assert crops[0].isdisjoint(crops[1])


def test_images_of_one_pass_are_cropped_independently(root):
    for folder in (root / "train").iterdir():
        for path in folder.iterdir():
            path.write_bytes((root / "train" / "cat" / "0.png").read_bytes())
    images, _ = one_pass(make_source(root).train_batches(5, seed=1))
    assert len({image.numpy().tobytes() for image in images}) == 24


def test_the_number_of_workers_changes_no_image(root):
    passes = [
        [
            one_pass(source.train_batches(5, seed=7)),
            one_pass(source.eval_batches("test", 5)),
        ]
        for source in (make_source(root, workers) for workers in (0, 1, 2))
    ]
    for other in passes[1:]:
        for expected, found in zip(passes[0], other, strict=True):
            assert torch.equal(expected[0], found[0])
            assert torch.equal(expected[1], found[1])


def test_a_pass_neither_reads_nor_moves_the_global_stream(root):
    source = make_source(root)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = one_pass(source.train_batches(5, seed=7))
    list(source.eval_batches("test", 5))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first[0], one_pass(source.train_batches(5, seed=7))[0])


def test_without_augmentation_training_images_are_those_of_evaluation(root):
    source = make_source(root, augment=False)
    train, whole = (
        {image.numpy().tobytes() for image in one_pass(batches)[0]}
        for batches in (source.train_batches(5, seed=1), source.eval_batches("train", 5))
    )
    assert train == whole


def test_val_split_is_stratified_and_held_out_of_training(root):
    source = make_source(root, val_split=0.25)
    assert (source.has_val, source.size("train"), source.size("val")) == (True, 18, 6)
    assert one_pass(source.eval_batches("val", 5))[1].bincount().tolist() == [2, 2, 2]
    val, train = (
        {image.numpy().tobytes() for image in one_pass(source.eval_batches(split, 5))[0]}
        for split in ("val", "train")
    )
    assert (len(val), len(train)) == (6, 18)
    assert val.isdisjoint(train)


def test_a_validation_folder_is_the_val_split(root):
    for name in CLASSES:
        write_images(root / "valid" / name, 2, seed=0)
    source = make_source(root)
    assert source.has_val
    assert [source.size(split) for split in ("train", "val", "test")] == [24, 6, 9]
    assert one_pass(source.eval_batches("val", 4))[1].tolist() == [0, 0, 1, 1, 2, 2]


def test_classes_may_be_given_in_another_order(root):
    source = make_source(root, classes=["emu", "cat", "dog"])
    labels = dict.fromkeys(CLASSES)
    for label, name in enumerate(source.class_names):
        labels[name] = label
    assert labels == {"cat": 1, "dog": 2, "emu": 0}
    assert one_pass(source.eval_batches("test", 4))[1].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("damage", "num_workers"),
    [
        ("text", 0),
        ("truncated", 0),
        ("text", 1),
        pytest.param("truncated", 1, marks=pytest.mark.slow),
    ],
)
def test_a_file_that_is_not_an_image_is_named_in_one_sentence(root, num_workers, damage):
    path = root / "test" / "dog" / "1.png"
    path.write_bytes(b"text" if damage == "text" else path.read_bytes()[:200])
    with pytest.raises(DataError) as caught:
        list(make_source(root, num_workers).eval_batches("test", 4))
    assert str(caught.value).startswith(f"cannot read {path} as an image: ")
    assert "\n" not in str(caught.value)
