"""`image_folder`: the user's images in one folder per class, decoded by loader processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from trainable.config import ImageFolderDataset
from trainable.data.normalize import Normalizer
from trainable.data.source import Batch, Split, batch_slices, no_val_split_error, train_slices
from trainable.data.split import stratified_split
from trainable.errors import DataError

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of red, green and blue in ImageNet; suits most photographs."""

RESIZE_RATIO = 256 / 224
"""Shorter side relative to the crop's side in evaluation, as usual for ImageNet."""

Sample = tuple[str, int]
"""Path of an image and its label."""

Transform = Callable[[Image.Image], Image.Image]


class FolderSource:
    """An `ImageSource` over `root/train/CLASS/*` and `root/test/CLASS/*` (else `root/val`).

    Training images are cropped at a random position, size and aspect ratio, and flipped with
    probability 1/2. Other images are resized and cropped in the middle. All become RGB.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches.
        num_workers: Loader processes; 0 loads in this process.

    Raises:
        DataError: A folder is missing or empty, or the two folders have different classes.
    """

    def __init__(
        self, dataset: ImageFolderDataset, device: torch.device, *, num_workers: int
    ) -> None:
        train, test = _read_folders(Path(dataset.root))
        self._splits: dict[str, Sequence[Sample]] = {"train": train.samples, "test": test.samples}
        if dataset.val_split is not None:
            labels = np.asarray(train.targets, dtype=np.int64)
            trained, held_out = stratified_split(labels, dataset.val_split, seed=dataset.seed)
            self._splits["train"] = [train.samples[i] for i in trained]
            self._splits["val"] = [train.samples[i] for i in held_out]
        size = dataset.image_size
        self._plain: Transform = v2.Compose(
            [v2.Resize(round(size * RESIZE_RATIO)), v2.CenterCrop(size)]
        )
        self._augment: Transform | None = None
        if dataset.augment:
            self._augment = v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()])
        self._device = device
        self._num_workers = num_workers
        self._normalize = Normalizer(*IMAGENET_STATISTICS, width=size, device=device)
        self.class_names = tuple(train.classes)
        self.num_classes = len(self.class_names)
        self.shape = (3, size, size)
        self.has_val = dataset.val_split is not None

    def size(self, split: Split) -> int:
        """Returns the number of images of a split; see `ImageSource`."""
        return len(self._samples(split))

    def train_batches(self, batch_size: int, *, seed: int) -> Iterator[Batch]:
        """Yields one shuffled, augmented pass; see `ImageSource`."""
        samples = self._samples("train")
        order = torch.randperm(
            len(samples), generator=torch.Generator().manual_seed(seed)
        ).tolist()
        parts = [order[part] for part in train_slices(len(order), batch_size)]
        if self._augment is None:
            return self._batches(_Images(samples, self._plain), parts)
        return self._batches(_Images(samples, self._augment, seed), parts)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass in order; see `ImageSource`."""
        samples = self._samples(split)
        order = list(range(len(samples)))
        parts = [order[part] for part in batch_slices(len(order), batch_size)]
        return self._batches(_Images(samples, self._plain), parts)

    def _samples(self, split: Split) -> Sequence[Sample]:
        if split not in self._splits:
            raise no_val_split_error()
        return self._splits[split]

    def _batches(self, images: _Images, parts: list[list[int]]) -> Iterator[Batch]:
        loader = DataLoader(
            images,
            batch_sampler=parts,
            num_workers=self._num_workers,
            pin_memory=self._device.type == "cuda",
            # The order is fixed; without a generator of its own the loader would draw from the
            # global stream.
            generator=torch.Generator(),
        )
        try:
            for pixels, labels in loader:
                pixels = pixels.to(self._device, non_blocking=True)
                yield self._normalize(pixels), labels.to(self._device, non_blocking=True)
        except DataError as error:
            # The text from a loader process begins with that process's traceback.
            raise DataError(str(error).rpartition("DataError: ")[2].strip()) from error


class _Images(Dataset[tuple[Tensor, int]]):
    """Reads and transforms single images, in this process or a loader process.

    With a seed, an image's random numbers depend only on that seed and the image's index. They do
    not depend on the process, on other images or on the global stream, which does not change.
    """

    def __init__(
        self, samples: Sequence[Sample], transform: Transform, seed: int | None = None
    ) -> None:
        self._samples = samples
        self._transform = transform
        self._seed = seed

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Returns the image as `[H, W, 3]` uint8, and its label."""
        path, label = self._samples[index]
        image = _read_image(path)
        if self._seed is None:
            image = self._transform(image)
        else:
            stream = np.random.SeedSequence([self._seed, index]).generate_state(1)
            # torchvision's transforms draw from torch's global stream.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(stream[0]))
                image = self._transform(image)
        return torch.from_numpy(np.array(image)), label


def _read_image(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read {path} as an image: {error}") from error


def _read_folders(root: Path) -> tuple[ImageFolder, ImageFolder]:
    """Returns the training and the test images.

    Raises:
        DataError: See `FolderSource`.
    """
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if not train.is_dir() or test is None:
        names = ", ".join(sorted(p.name for p in root.iterdir())) if root.is_dir() else ""
        raise DataError(
            f"dataset.root {root} must hold the folders train/CLASS and test/CLASS (or "
            f"val/CLASS), found {names or 'nothing'}"
        )
    images = _read_folder(train), _read_folder(test)
    different = set(images[0].classes) ^ set(images[1].classes)
    if different:
        raise DataError(
            f"{train} and {test} must hold the same classes, found only in one of them: "
            f"{', '.join(sorted(different))}"
        )
    return images


def _read_folder(folder: Path) -> ImageFolder:
    try:
        images = ImageFolder(folder)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} must hold one folder per class with at least one image in each: {error}"
        ) from error
    if len(images.classes) < 2:
        raise DataError(f"{folder} must hold at least 2 classes, found {images.classes[0]} alone")
    return images
