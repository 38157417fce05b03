"""`python -m tests.benchmarks.decoded_once SIDE ROOT IMAGE_SIZE CPUS`: one process reads a folder.

`SIDE` is `torchvision` (ImageFolder and DataLoader), `files` (`dataset.cache: false`) or `cache`,
with `-plain` for the crop in the middle instead of random crops and flips. Prints JSON: what the
first batch costs, then what an epoch costs, in seconds of the clock and of the CPUs, and the
memory during the epoch. Batches are normalised, but no model is trained.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

BATCH = 128
CROP_SHARE = 0.875
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Batches = Iterable[Any]


def torchvision_pass(root: Path, size: int, workers: int, *, plain: bool) -> Callable[[], Batches]:
    """Returns what begins an epoch of torchvision's own classes."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    changes: list[Any] = [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]
    if plain:
        changes = [v2.Resize(round(size / CROP_SHARE)), v2.CenterCrop(size)]
    finish = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    images = ImageFolder(root / "train", v2.Compose([*changes, *finish]))
    return lambda: DataLoader(images, BATCH, shuffle=True, num_workers=workers)


def our_pass(
    root: Path, size: int, workers: int, *, plain: bool, cache: bool
) -> Callable[[], Batches]:
    """Returns what begins an epoch of ours."""
    from trainable.config import ImageFolderDataset
    from trainable.data.loading import load_data
    from trainable.data.source import prepare_training

    section = {"name": "image_folder", "root": str(root), "image_size": size, "cache": cache}
    dataset = ImageFolderDataset.model_validate({**section, "augment": not plain})
    source = load_data(dataset, torch.device("cpu"), num_workers=workers)
    prepare_training(source)
    seeds = iter(range(1000))
    return lambda: source.train_batches(BATCH, seed=next(seeds))


def memory_bytes() -> int:
    """Proportional memory of this process and its children; pages of files count as well."""
    total = 0
    for pid in [os.getpid(), *children(os.getpid())]:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def children(pid: int) -> Iterator[int]:
    """Yields the processes that a process has started."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Measures one side."""
    side, root, size, cpus = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(cpus)
    name, _, kind = side.partition("-")
    start, cpu_start = time.perf_counter(), cpu_s()
    if name == "torchvision":
        begin = torchvision_pass(root, size, cpus, plain=kind == "plain")
    else:
        begin = our_pass(root, size, cpus, plain=kind == "plain", cache=name == "cache")
    batches = iter(begin())
    next(batches)
    first_s = time.perf_counter() - start
    del batches  # ends loader processes
    result = {"first_s": first_s, "first_cpu_s": cpu_s() - cpu_start}
    start, cpu_start, memory, count = time.perf_counter(), cpu_s(), 0, 0
    for number, (images, _) in enumerate(begin()):
        count += len(images)
        if number == 20:
            memory = memory_bytes()
    result |= {"epoch_s": time.perf_counter() - start, "epoch_cpu_s": cpu_s() - cpu_start}
    print(json.dumps({**result, "memory": memory, "images": count}))


if __name__ == "__main__":
    main()
