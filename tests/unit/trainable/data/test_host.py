"""Arrays that do not fit on the GPU are trained from main memory, batch by batch."""

import pytest
import torch

from tests.support.array_files import arrays_dataset, example_arrays, write_arrays
from trainable.config import AugmentConfig
from trainable.data.arrays import load_arrays
from trainable.data.host import HostSource, hold_arrays, resident_bytes
from trainable.data.resident import ResidentSource

CPU = torch.device("cpu")


@pytest.fixture
def arrays(tmp_path):
    write_arrays(tmp_path / "data.npz", **example_arrays())
    return load_arrays(arrays_dataset(tmp_path, val_split=0.25)).hold_out(
        arrays_dataset(tmp_path, val_split=0.25)
    )


@pytest.mark.parametrize("augment", [AugmentConfig(), AugmentConfig(vertical_flip=0.5)])
def test_batches_are_those_of_a_resident_source(arrays, augment):
    sources = [kind(arrays, CPU, augment=True) for kind in (ResidentSource, HostSource)]
    passes = [list(source.train_batches(5, seed=3, augment=augment)) for source in sources]
    passes += [list(source.eval_batches("val", 3)) for source in sources]
    for left, right in (passes[:2], passes[2:]):
        assert len(left) == len(right) > 1
        for (images, labels), (others, other_labels) in zip(left, right, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(labels, other_labels)
    assert sources[0].fingerprint("train") == sources[1].fingerprint("train")


def test_the_size_on_the_device_has_the_margin_of_random_crops(arrays):
    source = ResidentSource(arrays, CPU, augment=True)
    tensors = [source._images(split).pixels for split in ("train", "val", "test")]
    assert resident_bytes(arrays, augment=True) == sum(tensor.nbytes for tensor in tensors)
    assert resident_bytes(arrays, augment=False) == (16 + 8) * 8 * 8 * 3


def test_on_a_cpu_nothing_is_copied(arrays):
    assert type(hold_arrays(arrays, CPU, augment=True)) is ResidentSource


@pytest.mark.gpu
def test_arrays_beyond_the_gpus_free_memory_stay_in_main_memory(arrays, monkeypatch):
    device = torch.device("cuda", 0)
    assert type(hold_arrays(arrays, device, augment=True)) is ResidentSource
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 2000))
    source = hold_arrays(arrays, device, augment=True)
    assert type(source) is HostSource
    assert source.notices[0].startswith("the images take 0.0 GiB, too much for the 0.0 GiB")
    images, labels = next(source.train_batches(4, seed=1))
    assert images.device == labels.device == device
