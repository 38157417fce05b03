"""A disk without room for the decoded images is an error before a training."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.image_folders import write_image_folder
from tests.support.small_disks import small_disk
from trainable.config import TrainConfig
from trainable.data.cache.settings import FOLDER
from trainable.errors import ConfigError
from trainable.preflight.checks import refuse_failing

MakeConfig = Callable[..., TrainConfig]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_without_room_is_refused_before_a_training(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_image_folder(tmp_path / "data", train=60, side=64)
    section = {"name": "image_folder", "root": str(root), "image_size": 32}
    model = {"name": "resnet20"}
    with small_disk(tmp_path / "disk", 1) as disk:
        full = tiny_config(model=model, dataset={**section, "cache_dir": str(disk)})
        with pytest.raises(ConfigError) as caught:
            refuse_failing(full, allow_custom_model=True)
        assert not list(disk.iterdir())
        without = {**section, "cache_dir": str(disk), "cache": False}
        refuse_failing(tiny_config(model=model, dataset=without), allow_custom_model=True)
    assert str(caught.value) == (
        f"config: 1 problem\n  dataset.cache: the decoded images of {root} need 1.7 MiB on a disk "
        f"({disk / FOLDER}: 1.0 MiB are free); set dataset.cache_dir to a directory with room, or "
        "dataset.cache: false to decode every file in every epoch"
    )
    refuse_failing(tiny_config(model=model, dataset=section), allow_custom_model=True)
    assert not (root / FOLDER).exists()
