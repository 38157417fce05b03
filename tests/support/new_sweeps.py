"""Data sets of every kind, machines and a cache of weights, for tests of `sweep init`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sweeps.init.machine import Machine
from tests.support.array_files import example_arrays, write_arrays
from tests.support.image_folders import write_image_folder
from tests.support.label_tables import write_table
from tests.support.weight_caches import lay_hub_cache

CPU = Machine(2, 0, 16.0)
GPU = Machine(16, 2, 128.0)
LITE = "timm/tf_efficientnet_lite0"
DATA = ("digits", "cifar10", "synthetic", "folder", "flat", "table.csv", "arrays.npz",
        "own_data:arrays")  # fmt: skip
"""Values of `--data` that `write_data` makes valid: one of each kind."""


def write_data(directory: Path) -> None:
    """Writes the data sets of `DATA` that are files."""
    write_image_folder(directory / "folder", train=10, test=4, side=64)
    flat = write_image_folder(directory / "written", train=15, test=4, side=64)
    (flat / "train").rename(directory / "flat")
    rows = [
        (path.relative_to(directory).as_posix(), path.parent.name)
        for path in sorted((directory / "flat").glob("*/*.png"))
    ]
    write_table(directory / "table.csv", ("image", "class"), rows)
    write_arrays(directory / "arrays.npz", **example_arrays())


def forbid_network(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves no weights of libraries on this machine, and no way to download any."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(directory / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(directory / "torch"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def lay_backbones(directory: Path, *names: str) -> None:
    """Puts files into the hub's cache that stand for the weights of models of timm."""
    from trainable.models.timm_models import resolve_name

    for name in names:
        lay_hub_cache(directory / "hub", resolve_name(name), {"empty": torch.zeros(1)})
