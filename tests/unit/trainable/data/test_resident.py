"""Batches of `ResidentSource`, compared with a slow reference that works image by image."""

import numpy as np
import pytest
import torch

from trainable.config import AugmentConfig, SyntheticDataset
from trainable.data.arrays import ImageArrays, LabelledImages
from trainable.data.resident import ResidentSource

MEAN, STD = 0.25, 0.5


def make_arrays(count=24, shape=(3, 8, 6), padding=2, flips=True):
    """Returns random images, each in its own class, so that a label identifies an image."""
    channels, height, width = shape
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 256, size=(count, height, width, channels), dtype=np.uint8)
    images = LabelledImages(pixels, np.arange(count, dtype=np.int64))
    return ImageArrays(
        train=images,
        test=images,
        class_names=tuple(str(label) for label in range(count)),
        crop_padding=padding,
        flips=flips,
        statistics=([MEAN] * channels, [STD] * channels),
    )


def make_source(arrays, device="cpu", augment=True, **keys):
    arrays = arrays.hold_out(SyntheticDataset(name="synthetic", **keys))
    return ResidentSource(arrays, torch.device(device), augment=augment)


def one_pass(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images).cpu(), torch.cat(labels).cpu()


def to_bytes(image):
    """Undoes the normalisation of one image: `[C, H, W]` float32 to `[H, W, C]` uint8."""
    values = (image.double() * STD + MEAN) * 255
    assert torch.allclose(values, values.round(), atol=1e-3)
    return values.round().to(torch.uint8).permute(1, 2, 0).numpy()


def reference_crops(pixels, padding):
    """Returns every crop of one image: (top, left, flipped) -> `[H, W, C]`."""
    height, width, _ = pixels.shape
    padded = np.pad(pixels, ((padding, padding), (padding, padding), (0, 0)))
    crops = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[top : top + height, left : left + width]
            crops[top, left, False] = crop
            crops[top, left, True] = crop[:, ::-1]
    return crops


def crops_seen(arrays, source, passes):
    """Returns the crop that each training image is; fails for an image that is not a crop."""
    crops = [
        {crop.tobytes(): key for key, crop in reference_crops(pixels, arrays.crop_padding).items()}
        for pixels in arrays.train.pixels
    ]
    seen = []
    for seed in range(passes):
        for image, label in zip(*one_pass(source.train_batches(7, seed=seed)), strict=True):
            seen.append(crops[label][to_bytes(image).tobytes()])
    return seen


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("shape", [(3, 8, 6), (1, 5, 5), (4, 6, 9)])
def test_training_images_are_crops_of_the_padded_image_some_of_them_mirrored(shape, device):
    arrays = make_arrays(shape=shape)
    seen = crops_seen(arrays, make_source(arrays, device), passes=15)
    assert {key[:2] for key in seen} == {(top, left) for top in range(5) for left in range(5)}
    mirrored = np.mean([key[2] for key in seen])
    assert 0.4 < mirrored < 0.6


def test_images_of_one_batch_are_cropped_and_mirrored_independently():
    arrays = make_arrays()
    seen = crops_seen(arrays, make_source(arrays), passes=1)
    assert len({key[:2] for key in seen[:7]}) > 1
    assert len({key[2] for key in seen[:7]}) == 2


def test_no_image_is_mirrored_if_that_changes_its_class():
    arrays = make_arrays(flips=False)
    seen = crops_seen(arrays, make_source(arrays), passes=5)
    assert not any(key[2] for key in seen)
    assert len(set(seen)) > 10


def test_without_augmentation_training_images_are_whole():
    arrays = make_arrays()
    source = make_source(arrays, augment=False)
    for image, label in zip(*one_pass(source.train_batches(7, seed=0)), strict=True):
        assert np.array_equal(to_bytes(image), arrays.train.pixels[label])


@pytest.mark.parametrize("batch_size", [1, 5, 24, 100])
def test_every_training_image_comes_exactly_once(batch_size):
    source = make_source(make_arrays())
    batches = list(source.train_batches(batch_size, seed=3))
    assert {len(labels) for _, labels in batches[:-1]} <= {batch_size}
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(24))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(9, 4, [4, 4]), (10, 4, [4, 4, 2]), (3, 1, [1, 1, 1]), (1, 4, [1]), (4, 3, [3])],
)
def test_a_last_batch_of_one_image_is_left_out_unless_it_is_the_only_one(count, batch_size, sizes):
    batches = make_source(make_arrays(count)).train_batches(batch_size, seed=0)
    assert [len(labels) for _, labels in batches] == sizes


def test_a_pass_is_a_function_of_its_seed():
    source = make_source(make_arrays())
    first, again, other = (one_pass(source.train_batches(7, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_the_batch_size_changes_neither_order_nor_augmentation():
    source = make_source(make_arrays())
    small, large = (one_pass(source.train_batches(size, seed=1)) for size in (4, 12))
    assert torch.equal(small[0], large[0])
    assert torch.equal(small[1], large[1])


@pytest.mark.parametrize("batches_at_once", [1, 2, 3, 100])
@pytest.mark.parametrize("batch_size", [5, 8, 24, 100])
def test_the_chunk_size_changes_no_batch(batch_size, batches_at_once):
    source = make_source(make_arrays())
    passes = []
    for chunk_bytes in (0, batches_at_once * batch_size * 3 * 8 * 6 * 4):
        source._chunk_bytes = chunk_bytes
        passes.append(
            [*source.train_batches(batch_size, seed=1), *source.eval_batches("test", batch_size)]
        )
    for one, several in zip(*passes, strict=True):
        assert torch.equal(one[0], several[0])
        assert torch.equal(one[1], several[1])
        assert one[0].stride() == several[0].stride()


def test_a_pass_does_not_use_the_global_stream():
    source = make_source(make_arrays())
    before = torch.get_rng_state()
    list(source.train_batches(7, seed=1))
    list(source.eval_batches("test", 7))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("split", ["train", "test"])
def test_evaluation_images_are_whole_and_in_order(split):
    arrays = make_arrays(count=9)
    batches = list(make_source(arrays).eval_batches(split, 4))
    assert [len(labels) for _, labels in batches] == [4, 4, 1]
    images, labels = one_pass(batches)
    assert labels.tolist() == list(range(9))
    for image, pixels in zip(images, arrays.test.pixels, strict=True):
        assert np.array_equal(to_bytes(image), pixels)


@pytest.mark.parametrize("shape", [(3, 8, 6), (1, 8, 6)])
def test_batches_have_the_promised_type_and_layout(shape):
    source = make_source(make_arrays(shape=shape))
    for batches in (source.train_batches(6, seed=0), source.eval_batches("test", 6)):
        images, labels = next(iter(batches))
        assert images.shape == (6, *shape) == (6, *source.shape)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        layout = torch.channels_last if shape[0] > 1 else torch.contiguous_format
        assert images.is_contiguous(memory_format=layout)


def test_val_split_is_held_out_of_training_and_never_augmented():
    arrays = make_arrays(count=24)
    labels = arrays.train.labels % 2
    arrays = ImageArrays(
        train=LabelledImages(arrays.train.pixels, labels),
        test=arrays.test,
        class_names=("even", "odd"),
        crop_padding=2,
        flips=True,
        statistics=arrays.statistics,
    )
    source = make_source(arrays, val_split=0.25, seed=5)
    assert (source.has_val, source.size("train"), source.size("val")) == (True, 18, 6)
    images, val_labels = one_pass(source.eval_batches("val", 4))
    assert val_labels.bincount().tolist() == [3, 3]
    originals = {pixels.tobytes() for pixels in arrays.train.pixels}
    val = {to_bytes(image).tobytes() for image in images}
    train = {to_bytes(image).tobytes() for image in one_pass(source.eval_batches("train", 4))[0]}
    assert val.isdisjoint(train)
    assert val | train == originals


def test_the_split_seed_decides_what_is_held_out():
    arrays = make_arrays(count=40)
    arrays = ImageArrays(
        train=LabelledImages(arrays.train.pixels, arrays.train.labels % 2),
        test=arrays.test,
        class_names=("even", "odd"),
        crop_padding=0,
        flips=False,
        statistics=arrays.statistics,
    )
    val = [
        one_pass(make_source(arrays, val_split=0.25, seed=seed).eval_batches("val", 4))[0]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(val[0], val[1])
    assert not torch.equal(val[0], val[2])


def test_a_source_without_val_split_raises():
    source = make_source(make_arrays())
    assert not source.has_val
    with pytest.raises(ValueError, match="val_split is null"):
        source.size("val")


# ------------------------------------------------------------------------ the config's `augment`


def augmented(source, augment, batch_size=7, **options):
    config = AugmentConfig.model_validate(augment)
    batches = source.train_batches(batch_size, seed=3, augment=config, **options)
    return one_pass(batches)


def test_a_crop_and_a_flip_of_the_config_take_the_place_of_the_data_sets():
    arrays = make_arrays(shape=(3, 8, 8))
    source = make_source(arrays)
    whole = {"crop": {"min_scale": 1.0, "max_ratio": 1.0}, "horizontal_flip": 0.0}
    for image, label in zip(*augmented(source, whole), strict=True):
        assert np.array_equal(to_bytes(image), arrays.train.pixels[label])
    mirrored = {**whole, "horizontal_flip": 1.0}
    for image, label in zip(*augmented(source, mirrored), strict=True):
        assert np.array_equal(to_bytes(image), arrays.train.pixels[label][:, ::-1])


def test_other_parts_of_the_config_are_added_to_the_crop_and_flip():
    source = make_source(make_arrays())
    plain = one_pass(source.train_batches(7, seed=3))
    upside_down = augmented(source, {"vertical_flip": 1.0})
    assert torch.equal(upside_down[1], plain[1])
    assert torch.allclose(upside_down[0], plain[0].flip(2), atol=1e-5)
    without = make_source(make_arrays(), augment=False)
    assert torch.allclose(
        augmented(without, {"vertical_flip": 1.0})[0],
        one_pass(without.train_batches(7, seed=3))[0].flip(2),
        atol=1e-5,
    )


@pytest.mark.parametrize("batches_at_once", [1, 2, 100])
def test_the_chunk_size_changes_no_augmented_batch(batches_at_once):
    augment = {"rotation": 20, "randaugment": {}, "blur": {}}
    source, chunked = make_source(make_arrays()), make_source(make_arrays())
    chunked._chunk_bytes = batches_at_once * 7 * 4 * 3 * 8 * 6
    images, labels = augmented(source, augment)
    assert torch.equal(augmented(chunked, augment)[0], images)
    assert torch.equal(augmented(chunked, augment)[1], labels)


def test_a_pass_of_chosen_images_has_them_in_order():
    arrays = make_arrays()
    images, labels = augmented(
        make_source(arrays, augment=False), {}, batch_size=2, order=[5, 3, 5, 0]
    )
    assert labels.tolist() == [5, 3, 5, 0]
    assert np.array_equal(to_bytes(images[1]), arrays.train.pixels[3])
