"""`sweep preview`: the values of a draw, the file, and bad input. Starts no Ray."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sweeps.cli.main import main
from trainable.config.yaml_reader import dump_yaml

SEARCH: dict[str, Any] = {
    "config": {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "augment": {"mixup": {}},
    },
    "space": {"augment.rotation": {"choice": [0, 90]}},
    "tune": {"num_samples": 2, "search_alg": "grid"},
}


@pytest.fixture
def search_file(working_directory: Path) -> Path:
    path = working_directory / "search.yaml"
    path.write_text(dump_yaml(SEARCH))
    return path


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, ["preview", *map(str, args)], prog_name="sweep")


def test_every_draw_has_its_picture(search_file: Path) -> None:
    first = invoke(search_file, "--images", 3)
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.splitlines() == ["augment.rotation: 0", "wrote preview.png"]
    second = invoke(search_file, "--trial", 1, "-o", "second.png", "--images", 3)
    assert second.stdout.splitlines() == ["augment.rotation: 90", "wrote second.png"]
    one, other = (np.asarray(Image.open(name)) for name in ("preview.png", "second.png"))
    assert one.shape == other.shape
    assert not np.array_equal(one, other)


def test_a_key_of_the_file_can_be_set(search_file: Path) -> None:
    for output, mixup in (("mixed.png", "{}"), ("plain.png", "null")):
        changes = ("--set", f"config.augment.mixup={mixup}")
        assert invoke(search_file, "--images", 2, "-o", output, *changes).exit_code == 0
    mixed, plain = (Image.open(name).height for name in ("mixed.png", "plain.png"))
    assert mixed > plain  # a label of two lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trial", 2], "there is no draw 2: the search has 2, from 0 on"),
        (["-o", "missing/preview.png"], "missing/preview.png: cannot be written"),
        (["--images", 0], "0 is not in the range 1<=x<=64"),
        (["--set", "config.dataset.root=/nowhere", "--set", "config.dataset.name=mnist"], "mnist"),
    ],
)
def test_bad_input_is_refused(search_file: Path, arguments: list[object], message: str) -> None:
    if "config.dataset.name=mnist" in arguments:
        arguments = [*arguments, "--set", "config.dataset.download=false"]
    result = invoke(search_file, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(Path.cwd().glob("*.png"))
