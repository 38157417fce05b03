"""Small data sets for the decoded cache, and a process that opens one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainable.data.cache.entry import USED_FILE
from trainable.data.cache.eviction import PART, PROGRESS_FILE
from trainable.data.cache.settings import CacheSettings
from trainable.data.listing import ListedImage

ROOT = Path(__file__).parents[2]
COUNT = 200
"""Images of `write_images`; every second one is not among those whose size is sampled."""
SIZE = (8, 10)
OTHER_USER = 54321


def write_images(root: Path, count: int = COUNT, size: tuple[int, int] = SIZE) -> Path:
    """Writes `root/000.png`...; returns the root."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:03}.png")
    return root


def listed(root: Path) -> list[ListedImage]:
    """Lists the images below a directory, with the file's number as label."""
    paths = sorted(path for path in root.iterdir() if path.suffix)
    return [ListedImage(path.name, str(path), number) for number, path in enumerate(paths)]


def settings(root: Path, **changes: Any) -> CacheSettings:
    """Returns settings that store the images of `write_images` as they are."""
    return CacheSettings(root=root, **{"side": 16, **changes})


def entries(folder: Path) -> list[Path]:
    """Returns the whole caches in a folder."""
    return [path for path in folder.iterdir() if (path / USED_FILE).exists()]


def parts(folder: Path) -> list[Path]:
    """Returns the caches in a folder that are being built, or were when their builder died."""
    return [path for path in folder.iterdir() if PART in path.name]


def wait_for_progress(folder: Path, done: int) -> None:
    """Waits until a builder has decoded this many images."""
    while True:
        for part in parts(folder) if folder.is_dir() else ():
            with suppress(OSError, ValueError):
                if json.loads((part / PROGRESS_FILE).read_text())["done"] == done:
                    return
        time.sleep(0.01)


def read_pixels(images: Sequence[ListedImage]) -> np.ndarray:
    """Reads images of one size by Pillow alone."""
    return np.stack([np.asarray(Image.open(image.path).convert("RGB")) for image in images])


def open_in_process(root: Path) -> subprocess.Popen[str]:
    """Starts a process that opens the cache of a data set and prints events and notices."""
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.support.decoded_caches import listed, settings\n"
        "from trainable.data.cache.store import open_decoded\n"
        "root = Path(sys.argv[1])\n"
        "say = lambda line: print(line, flush=True)\n"
        "images = open_decoded(listed(root), settings(root), say)\n"
        "say('\\n'.join(images.notices))\n"
        "print(int(images.read(range(len(images))).sum()))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(root)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def plain_user() -> Iterator[None]:
    """Runs a block as a user whom permissions bind, which root is not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(user)
