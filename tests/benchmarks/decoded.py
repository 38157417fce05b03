"""D1: image files from the decoded cache, by torchvision's ImageFolder and a DataLoader.

Every measurement is a process of its own, with two CPUs: two loader processes, or two threads.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.benchmarks.sides import Figure

CLASSES, CPUS, QUALITY = 10, 2, 90
Cost = dict[str, float]


def write_photos(root: Path, images: int, side: int) -> None:
    """Writes JPEG files: crops of two photographs with noise, one in ten for the test set."""
    photos = load_sample_images().images
    for split in ("train", "test"):
        for label in range(CLASSES):
            (root / split / str(label)).mkdir(parents=True)

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        photo: NDArray[np.uint8] = photos[number % 2]
        largest = min(photo.shape[:2]) // 2
        length = int(rng.integers(largest // 4, largest))
        top, left = (int(rng.integers(whole - length)) for whole in photo.shape[:2])
        crop = Image.fromarray(photo[top : top + length, left : left + length])
        noise = rng.integers(-6, 7, (side, side, 3), dtype=np.int8)
        pixels = np.asarray(crop.resize((side, side)), dtype=np.int16) + noise
        split = "train" if number < images else "test"
        path = root / split / str(number % CLASSES) / f"{number}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)

    with ThreadPoolExecutor(CPUS) as pool:
        for _ in pool.map(write, range(images + max(CLASSES, images // 10))):
            pass


@contextmanager
def photo_folder(images: int, side: int) -> Iterator[Path]:
    """A temporary folder of photos."""
    directory = Path(tempfile.mkdtemp(prefix="photos-"))
    try:
        write_photos(directory, images, side)
        yield directory
    finally:
        shutil.rmtree(directory)


def measure(side: str, root: Path, size: int) -> Cost:
    """Runs one side in a process of its own; see `decoded_once`."""
    words = [sys.executable, "-m", "tests.benchmarks.decoded_once", side, root, size, CPUS]
    # As trials are started. Loader processes have one thread each, which never waits.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [*map(str, words)], check=True, capture_output=True, text=True, env=environment
    )
    cost: Cost = json.loads(done.stdout.splitlines()[-1])
    return cost


def d1(images: int = 50_000, side: int = 64, size: int = 64, rounds: int = 3) -> list[Figure]:
    """Start-up, an epoch and memory; ratios are torchvision's cost by ours.

    Args:
        images: Training images; a tenth as many are the test set.
        side: Height and width of the files.
        size: `dataset.image_size`.
        rounds: Measurements of each side, in turn.
    """
    sides = ("torchvision", "torchvision-plain", "files", "cache", "cache-plain")
    with photo_folder(images, side) as root:
        cold = [_measure_build(root, size) for _ in range(rounds)]
        runs = [{name: measure(name, root, size) for name in sides} for _ in range(rounds)]
    what = f"{images:,} files of {side} px"
    theirs_first = [run["torchvision"] for run in runs]
    figures = [_compare(f"{what}, trial 1: first batch", theirs_first, cold, "first_s")]
    for ours, theirs, goals in (
        ("cache", "torchvision", (">= 9", "(none)")),
        ("cache-plain", "torchvision-plain", (">= 26", "(none)")),
        ("files", "torchvision", ("(none)", "(none)")),
    ):
        pairs = [run[theirs] for run in runs], [run[ours] for run in runs]
        for key, label, goal in (
            ("epoch_cpu_s", "epoch, CPU", goals[0]),
            ("epoch_s", "epoch, wall", goals[1]),
            ("first_s", "trial 2: first batch", "(none)"),
            ("memory", "memory", "(none)"),
        ):
            figures.append(_compare(f"{what}, {ours}, {label}", *pairs, key, goal))
    opened = [run["cache"] for run in runs]
    return [*figures, _compare(f"{what}, trial 1 by trial 2", cold, opened, "first_s", ">= 20")]


def _measure_build(root: Path, size: int) -> Cost:
    """Measures a first trial, which decodes all files."""
    shutil.rmtree(root / ".tune-sweeps-cache", ignore_errors=True)
    return measure("cache", root, size)


def _compare(
    what: str, other: list[Cost], ours: list[Cost], key: str, goal: str = "(none)"
) -> Figure:
    pairs = [(a[key], b[key]) for a, b in zip(other, ours, strict=True)]
    ratios = sorted(a / b for a, b in pairs)
    middle = len(ratios) // 2
    unit = "B" if key == "memory" else "s"
    medians = [sorted(costs)[middle] for costs in zip(*pairs, strict=True)]
    return Figure("D1", what, ratios[middle], ratios[0], ratios[-1], *medians, unit, goal)
