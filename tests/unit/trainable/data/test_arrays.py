import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from trainable.config import BuiltinDataset, SyntheticDataset
from trainable.data import arrays
from trainable.data.arrays import channel_statistics, load_arrays
from trainable.data.loading import load_data
from trainable.data.shapes import dataset_shape
from trainable.errors import DataError

CPU = torch.device("cpu")


def synthetic(**keys):
    return SyntheticDataset(name="synthetic", **{"num_train": 400, "num_test": 100, **keys})


def test_digits_are_scikit_learns_images_each_in_one_of_the_two_sets():
    digits = load_arrays(BuiltinDataset(name="digits"))
    both = np.concatenate([digits.train.pixels, digits.test.pixels])[..., 0]
    assert both.dtype == np.uint8
    assert (both.min(), both.max()) == (0, 255)
    original = load_digits().images
    as_sixteenths = np.rint(both / (255 / 16))
    assert sorted(image.tobytes() for image in as_sixteenths) == sorted(
        image.tobytes() for image in original
    )


def test_the_test_set_of_digits_is_a_fifth_of_every_class_whatever_the_seed():
    first, other = (load_arrays(BuiltinDataset(name="digits", seed=seed)) for seed in (1, 2))
    assert np.array_equal(first.test.pixels, other.test.pixels)
    share = np.bincount(first.test.labels) / np.bincount(load_digits().target)
    assert np.all(abs(share - 0.2) < 0.004)


def test_the_test_set_of_digits_is_the_same_on_every_machine():
    """Compared with a stored result: a change would make accuracies incomparable."""
    digits = load_arrays(BuiltinDataset(name="digits"))
    assert digits.test.pixels[:6].sum(axis=(1, 2, 3)).tolist() == [
        5483,
        4256,
        5083,
        5116,
        5262,
        5370,
    ]


def test_digits_are_never_mirrored_and_move_by_one_pixel():
    digits = load_arrays(BuiltinDataset(name="digits"))
    assert (digits.flips, digits.crop_padding) == (False, 1)


def test_training_images_have_mean_zero_and_deviation_one_where_it_is_computed():
    for dataset in (BuiltinDataset(name="digits", augment=False), synthetic(augment=False)):
        images = torch.cat([x for x, _ in load_data(dataset, CPU).train_batches(64, seed=0)])
        std, mean = torch.std_mean(images, dim=(0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=0.02, rtol=0)
        torch.testing.assert_close(std, torch.ones_like(std), atol=0.02, rtol=0)


def test_statistics_are_those_of_numpy_for_every_channel():
    pixels = np.random.default_rng(0).integers(256, size=(7, 5, 4, 3), dtype=np.uint8)
    mean, std = channel_statistics(pixels)
    np.testing.assert_allclose(mean, (pixels / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, (pixels / 255).std(axis=(0, 1, 2)))


def test_images_of_one_colour_can_be_normalised():
    _, std = channel_statistics(np.full((2, 3, 3, 1), 9, dtype=np.uint8))
    assert std == [1 / 255]


def test_synthetic_images_have_the_stated_shape_and_counts():
    dataset = synthetic(shape=[2, 9, 13], num_classes=7)
    source = load_data(dataset, CPU)
    assert source.shape == (2, 9, 13)
    assert (source.size("train"), source.size("test")) == (400, 100)
    images, labels = next(source.eval_batches("test", 100))
    assert images.shape == (100, 2, 9, 13)
    assert labels.bincount().tolist() == [15, 15, 14, 14, 14, 14, 14]
    assert len(source.class_names) == source.num_classes == 7


def test_synthetic_images_follow_the_seed_and_are_all_different():
    first, again, other = (load_arrays(synthetic(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.train.pixels, again.train.pixels)
    assert not np.array_equal(first.train.pixels, other.train.pixels)
    both = np.concatenate([first.train.pixels, first.test.pixels])
    assert len(np.unique(both.reshape(len(both), -1), axis=0)) == 500


@pytest.mark.parametrize("shape", [[3, 32, 32], [1, 8, 8], [3, 1, 1]])
def test_synthetic_classes_can_be_learned_and_hold_on_new_images(shape):
    data = load_arrays(synthetic(shape=shape, num_classes=4, num_train=2000))
    flat = [split.pixels.reshape(len(split.labels), -1) / 255 for split in (data.train, data.test)]
    model = RidgeClassifier().fit(flat[0], data.train.labels)
    # A linear model sees little in three numbers; chance is 0.25.
    assert model.score(flat[1], data.test.labels) > (0.95 if shape[1] > 1 else 0.35)


@pytest.mark.parametrize("dataset", [BuiltinDataset(name="digits"), synthetic(num_classes=3)])
def test_a_source_has_the_shape_of_its_name(dataset):
    source = load_data(dataset, CPU)
    assert (source.num_classes, source.shape[0]) == dataset_shape(dataset)


def test_a_val_split_of_too_few_images_is_a_data_error():
    with pytest.raises(DataError, match="val_split needs at least 2 images of every class"):
        load_data(synthetic(num_train=15, val_split=0.2), CPU)


def count_loads(monkeypatch):
    loads = []
    digits = arrays._load_digits
    monkeypatch.setattr(arrays, "_load_digits", lambda: loads.append(1) or digits())
    return loads


def test_a_process_loads_the_same_data_once(monkeypatch):
    loads = count_loads(monkeypatch)
    first = load_data(BuiltinDataset(name="digits", seed=77), CPU)
    again = load_data(BuiltinDataset(name="digits", seed=77, num_workers=1), CPU, num_workers=1)
    assert again is first
    assert len(loads) == 1


def test_each_fold_of_a_built_in_set_is_the_validation_set_once():
    sources = [
        load_data(BuiltinDataset(name="digits", folds=5, fold=fold), CPU) for fold in range(5)
    ]
    sizes = [source.size("val") for source in sources]
    assert sum(sizes) == 1438
    assert max(sizes) - min(sizes) == 1
    assert all(source.has_val for source in sources)
    assert {source.size("train") + source.size("val") for source in sources} == {1438}


def test_a_process_loads_again_for_another_split_seed_or_directory(monkeypatch):
    loads = count_loads(monkeypatch)
    first = load_data(BuiltinDataset(name="digits", val_split=0.1, seed=78), CPU)
    assert load_data(BuiltinDataset(name="digits", val_split=0.2, seed=78), CPU) is not first
    assert load_data(BuiltinDataset(name="digits", root="elsewhere", seed=78), CPU) is not first
    assert len(loads) == 3


def test_a_process_keeps_only_the_last_two_data_sets(monkeypatch):
    loads = count_loads(monkeypatch)
    for seed in (1, 2, 1, 3, 1):  # loading 3 drops 2, the least recently used one
        load_data(BuiltinDataset(name="digits", val_split=0.3, seed=seed), CPU)
    assert len(loads) == 3
    load_data(BuiltinDataset(name="digits", val_split=0.3, seed=2), CPU)
    assert len(loads) == 4
