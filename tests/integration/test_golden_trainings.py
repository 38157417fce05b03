"""Trainings of version 0.1.0 at commit f0d8ffa, under the code of today: the same bits.

`tests/golden/trainings` has their hashes and the checkpoints of their first epochs. They were made
without the order of MKL's sums that `trainable` asks for, so that they are compared without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.golden_trainings import CONFIGS, EPOCHS, GOLDEN, describe_machine

TOLERANCE = 0.02
"""Relative difference of losses on another machine, where sums have other last bits."""
Epochs = list[dict[str, Any]]


@pytest.fixture(scope="module")
def trained() -> dict[str, list[Epochs]]:
    """Name of a training -> its epochs of today, trained anew and from the checkpoint."""
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "MKL_CBWR": ""}
    command = [sys.executable, "-m", "tests.support.golden_trainings", "--print"]
    done = subprocess.run(
        command, env=os.environ | variables, check=True, capture_output=True, text=True
    )
    epochs: dict[str, list[Epochs]] = json.loads(done.stdout)
    return epochs


def assert_epochs(name: str, epochs: Epochs, first: int) -> None:
    """Every epoch has the recorded bits, or losses on another machine."""
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    is_same_machine = golden["machine"] == describe_machine(name)
    for epoch, expected in zip(epochs, golden["epochs"][first - 1 :], strict=True):
        row = {key: epoch["row"][key] for key in expected["row"]}
        if is_same_machine:
            assert {**epoch, "row": row} == expected
        else:
            assert comparable(row) == pytest.approx(comparable(expected["row"]), rel=TOLERANCE)
    assert epochs[-1]["row"]["epoch"] == EPOCHS


def comparable(row: dict[str, Any]) -> dict[str, float]:
    """Returns the values of a row that change little with the last bits of a sum."""
    return {key: row[key] for key in ("epoch", "train_loss", "val_loss", "test_loss", "lr")}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_of_an_earlier_version_trains_to_the_same_bits(
    name: str, trained: dict[str, list[Epochs]]
) -> None:
    assert_epochs(name, trained[name][0], first=1)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_of_an_earlier_version_continues_to_the_same_bits(
    name: str, trained: dict[str, list[Epochs]]
) -> None:
    assert_epochs(name, trained[name][1], first=2)
