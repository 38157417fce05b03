"""Trainings of version 0.1.0 at commit f0d8ffa, under the code of today: the same bits.

`tests/golden/trainings` has their hashes and the checkpoints of their first epochs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.golden_trainings import (
    CONFIGS,
    EPOCHS,
    GOLDEN,
    describe_epoch,
    describe_machine,
    make_trainer,
)
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.training.trainer import Trainer

TOLERANCE = 0.02
"""Relative difference of losses on another machine, where sums have other last bits."""


def assert_epochs(trainer: Trainer, name: str) -> None:
    """Trains to the end; every epoch has the recorded bits, or losses on another machine."""
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    is_same_machine = golden["machine"] == describe_machine(name)
    for expected in golden["epochs"][trainer.epoch :]:
        epoch = describe_epoch(trainer, trainer.run_epoch())
        row = {key: epoch["row"][key] for key in expected["row"]}
        if is_same_machine:
            assert {**epoch, "row": row} == expected
        else:
            assert comparable(row) == pytest.approx(comparable(expected["row"]), rel=TOLERANCE)
    assert trainer.epoch == EPOCHS


def comparable(row: dict[str, Any]) -> dict[str, float]:
    """Returns the values of a row that change little with the last bits of a sum."""
    return {key: row[key] for key in ("epoch", "train_loss", "val_loss", "test_loss", "lr")}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_of_an_earlier_version_trains_to_the_same_bits(name: str, tmp_path: Path) -> None:
    assert_epochs(make_trainer(name, tmp_path), name)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_of_an_earlier_version_continues_to_the_same_bits(
    name: str, tmp_path: Path
) -> None:
    trainer = make_trainer(name, tmp_path)
    trainer.load_state_dict(read_checkpoint(GOLDEN / f"{name}.pt"))
    assert trainer.epoch == 1
    assert_epochs(trainer, name)
