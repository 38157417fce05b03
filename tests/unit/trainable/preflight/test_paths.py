"""Paths of a training config that cannot be used, each with the key, what is there and a hint."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets

from trainable.config import TrainConfig
from trainable.preflight.paths import (
    TORCHVISION_FOLDERS,
    check_inputs,
    check_outputs,
    find_obstacle,
)

MakeConfig = Callable[..., TrainConfig]


def problems(config: TrainConfig) -> dict[str, str]:
    return {
        problem.key: problem.rule for problem in [*check_inputs(config), *check_outputs(config)]
    }


def test_nothing_is_wrong_with_directories_that_can_be_created(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path / "a" / "b")})
    assert problems(config) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("section", ["checkpoint", "tensorboard"])
def test_a_file_or_a_dangling_link_in_the_way_is_named(
    section: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to("gone")
    key = {"checkpoint": "dir", "tensorboard": "log_dir"}[section]
    for path, text in (
        (file, f"{file} is a file"),
        (file / "below", f"{file} is a file"),
        (link / "below", f"{link} is a symbolic link to gone, which does not exist"),
    ):
        config = tiny_config(**{section: {"enabled": True, key: str(path)}})
        assert problems(config)[f"{section}.{key}"].endswith(text)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert find_obstacle(tmp_path / "new") == f"there is no permission to write in {tmp_path}"
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("resume", "text"),
    [
        ("gone/latest.pt", "there is no file {0}/gone/latest.pt"),
        ("run/checkpoints/best.pt", "; did you mean {0}/run/checkpoints/latest.pt?"),
        ("run", "found the directory {0}/run; did you mean {0}/run/checkpoints/latest.pt?"),
    ],
)
def test_a_checkpoint_that_is_missing_is_named_with_one_that_is_there(
    resume: str, text: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "latest.pt").touch()
    reported = problems(tiny_config(checkpoint={"resume": str(tmp_path / resume)}))
    assert reported["checkpoint.resume"].endswith(text.format(tmp_path))


def test_data_that_may_not_be_downloaded_must_be_there(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    def check(**dataset: Any) -> dict[str, str]:
        return problems(tiny_config(dataset={"name": "mnist", "root": str(tmp_path), **dataset}))

    assert check() == {}
    assert "there is no directory" in check(download=False)["dataset.root"]
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    assert check(download=False) == {}
    (tmp_path / "file").touch()
    assert check(root=str(tmp_path / "file"))["dataset.root"].endswith("file is a file")


@pytest.mark.parametrize(("name", "folder"), TORCHVISION_FOLDERS.items())
def test_the_folders_are_those_of_torchvision(name: str, folder: str, tmp_path: Path) -> None:
    kinds = {
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
        "fashion_mnist": datasets.FashionMNIST,
        "mnist": datasets.MNIST,
    }
    kind = kinds[name]
    expected = kind.base_folder if "cifar" in name else f"{kind.__name__}/raw"
    assert folder == expected
