"""Torchvision's data sets, read from files in their real formats, and errors without them.

Torchvision checks the real CIFAR files' MD5 sums. Tests that read CIFAR replace these sums, and
nothing else, by those of the files written here.
"""

import functools
import gzip
import hashlib
import http.server
import pickle
import platform
import struct
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision import datasets
from torchvision.transforms import v2

from trainable.config import BuiltinDataset
from trainable.data.arrays import load_arrays
from trainable.data.download import load_torchvision
from trainable.data.loading import load_data
from trainable.data.shapes import dataset_shape
from trainable.errors import DataError

CPU = torch.device("cpu")
NUM_TRAIN, NUM_TEST = 60, 20


@functools.cache
def mnist_like():
    """Returns digits enlarged to 28x28, `[N, 28, 28]` uint8, and their labels."""
    digits = load_digits()
    pixels = np.rint(digits.images[: NUM_TRAIN + NUM_TEST] * (255 / 16)).astype(np.uint8)
    big = np.pad(pixels.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    return big, digits.target[: len(big)].astype(np.uint8)


def mnist_files():
    """Name -> bytes in MNIST's IDX format (big-endian: magic, sizes, values)."""
    pixels, labels = mnist_like()
    files = {}
    for name, part in (("train", slice(NUM_TRAIN)), ("t10k", slice(NUM_TRAIN, None))):
        images, targets = pixels[part], labels[part]
        header = struct.pack(">4i", 0x803, *images.shape)
        files[f"{name}-images-idx3-ubyte"] = header + images.tobytes()
        files[f"{name}-labels-idx1-ubyte"] = struct.pack(">2i", 0x801, len(targets)) + bytes(
            targets
        )
    return files


def write_mnist(root, folder="MNIST"):
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, content in mnist_files().items():
        (raw / name).write_bytes(content)
    return raw


def cifar_like():
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(NUM_TRAIN + NUM_TEST, 3, 32, 32), dtype=np.uint8)


def write_cifar(root, name):
    """Writes CIFAR's pickled batches: rows of 3072 bytes, channel by channel."""
    images, key = (
        (datasets.CIFAR10, "labels") if name == "cifar10" else (datasets.CIFAR100, "fine_labels")
    )
    classes = dataset_shape(BuiltinDataset(name=name))[0]
    folder = root / images.base_folder
    folder.mkdir(parents=True)
    pixels = cifar_like().reshape(-1, 3072)
    parts = np.array_split(np.arange(NUM_TRAIN), len(images.train_list))
    parts.append(np.arange(NUM_TRAIN, NUM_TRAIN + NUM_TEST))
    for (file, _), part in zip(images.train_list + images.test_list, parts, strict=True):
        batch = {"data": pixels[part], key: [int(i) % classes for i in part]}
        (folder / file).write_bytes(pickle.dumps(batch))
    names = {images.meta["key"]: [f"class{label}" for label in range(classes)]}
    (folder / images.meta["filename"]).write_bytes(pickle.dumps(names))
    return folder


def accept_md5_of(monkeypatch, name, folder):
    images = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100

    def md5(file):
        return hashlib.md5((folder / file).read_bytes()).hexdigest()

    for attribute in ("train_list", "test_list"):
        files = [[file, md5(file)] for file, _ in getattr(images, attribute)]
        monkeypatch.setattr(images, attribute, files)
    meta = {**images.meta, "md5": md5(images.meta["filename"])}
    monkeypatch.setattr(images, "meta", meta)


def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("name resolution failed")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize(
    ("name", "folder", "flips"),
    [("mnist", "MNIST", False), ("fashion_mnist", "FashionMNIST", True)],
)
def test_mnist_files_become_images_and_labels(tmp_path, name, folder, flips):
    write_mnist(tmp_path, folder)
    dataset = BuiltinDataset(name=name, root=str(tmp_path), download=False)
    arrays = load_arrays(dataset)
    assert (arrays.flips, arrays.crop_padding) == (flips, 2)
    pixels, labels = mnist_like()
    assert np.array_equal(arrays.train.pixels[..., 0], pixels[:NUM_TRAIN])
    assert np.array_equal(arrays.test.pixels[..., 0], pixels[NUM_TRAIN:])
    assert np.array_equal(np.append(arrays.train.labels, arrays.test.labels), labels)
    source = load_data(dataset, CPU)
    assert source.shape == (1, 28, 28)
    assert (source.num_classes, source.shape[0]) == dataset_shape(dataset)
    assert len(list(source.train_batches(16, seed=0))) == 4


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_files_become_images_and_labels(tmp_path, monkeypatch, name):
    accept_md5_of(monkeypatch, name, write_cifar(tmp_path, name))
    dataset = BuiltinDataset(name=name, root=str(tmp_path), download=False)
    arrays = load_arrays(dataset)
    assert (arrays.flips, arrays.crop_padding) == (True, 4)
    assert np.array_equal(arrays.train.pixels.transpose(0, 3, 1, 2), cifar_like()[:NUM_TRAIN])
    source = load_data(dataset, CPU)
    assert source.shape == (3, 32, 32)
    assert (source.num_classes, source.shape[0]) == dataset_shape(dataset)
    assert source.class_names[3] == "class3"
    assert next(source.eval_batches("test", 5))[1].tolist() == [
        i % source.num_classes for i in range(60, 65)
    ]


def test_images_are_normalised_as_torchvision_would(tmp_path, monkeypatch):
    accept_md5_of(monkeypatch, "cifar10", write_cifar(tmp_path, "cifar10"))
    dataset = BuiltinDataset(name="cifar10", root=str(tmp_path), download=False)
    images, _ = next(load_data(dataset, CPU).eval_batches("test", NUM_TEST))
    reference = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ]
    )
    expected = reference(torch.from_numpy(cifar_like()[NUM_TRAIN:]))
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "folder", "file"),
    [
        ("mnist", "MNIST/raw", "train-images-idx3-ubyte"),
        ("fashion_mnist", "FashionMNIST/raw", "t10k-labels-idx1-ubyte"),
        ("cifar10", "cifar-10-batches-py", "data_batch_5"),
        ("cifar100", "cifar-100-python", "meta"),
    ],
)
def test_missing_data_says_where_it_must_be_and_what_to_do(tmp_path, name, folder, file):
    root = tmp_path / "nowhere"
    with pytest.raises(DataError) as caught:
        load_data(BuiltinDataset(name=name, root=str(root), download=False), CPU)
    text = str(caught.value)
    assert f'"{name}" is missing or damaged under dataset.root {root}' in text
    assert f"{root}/{folder} must hold the files" in text
    assert file in text
    assert "dataset.download: true" in text
    assert "\n" not in text
    assert not root.exists()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_without_a_network_one_sentence_says_so(tmp_path, monkeypatch, name):
    no_network(monkeypatch)
    with pytest.raises(DataError) as caught:
        load_data(BuiltinDataset(name=name, root=str(tmp_path), download=True), CPU)
    text = str(caught.value)
    assert f"cannot be downloaded on {platform.node()} (" in text
    assert "name resolution failed" in text
    assert "use digits, which needs no download" in text
    assert "\n" not in text


def test_cifar_files_of_a_wrong_checksum_are_not_read(tmp_path):
    write_cifar(tmp_path, "cifar10")
    dataset = BuiltinDataset(name="cifar10", root=str(tmp_path), download=False)
    with pytest.raises(DataError, match="missing or damaged"):
        load_data(dataset, CPU)


@pytest.mark.parametrize("kept", [0, 3, 10, 5000])
@pytest.mark.parametrize("download", [False, True])
def test_damaged_mnist_files_are_a_data_error(tmp_path, kept, download):
    images = write_mnist(tmp_path) / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:kept])
    dataset = BuiltinDataset(name="mnist", root=str(tmp_path), download=download)
    with pytest.raises(DataError, match="damaged"):
        load_data(dataset, CPU)


def test_present_data_is_read_without_network_or_a_writable_directory(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    no_network(monkeypatch)
    dataset = BuiltinDataset(name="mnist", root=str(tmp_path), download=True)
    assert load_data(dataset, CPU).size("train") == NUM_TRAIN
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_a_root_that_is_a_file_is_a_data_error(tmp_path):
    (tmp_path / "data").write_text("")
    dataset = BuiltinDataset(name="mnist", root=str(tmp_path / "data"), download=True)
    with pytest.raises(DataError, match="cannot be downloaded"):
        load_data(dataset, CPU)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Serves MNIST's files on this machine; yields the list of requested paths."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    resources = []
    for name, content in mnist_files().items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        md5 = hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest()
        resources.append((f"{name}.gz", md5))
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, message, *args):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(datasets.MNIST, "resources", resources)
        monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
        yield requests
        server.shutdown()


def test_trials_that_start_together_download_once(tmp_path, mirror):
    def load(_):
        return load_torchvision("mnist", tmp_path / "data", download=True)

    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(load, range(4)))
    pixels, _ = mnist_like()
    for train, test in loaded:
        assert np.array_equal(train.data, pixels[:NUM_TRAIN])
        assert np.array_equal(test.data, pixels[NUM_TRAIN:])
    # Torchvision requests a file twice: once for redirections and once for its content.
    assert sorted(mirror) == sorted(f"/{name}.gz" for name in mnist_files() for _ in range(2))
