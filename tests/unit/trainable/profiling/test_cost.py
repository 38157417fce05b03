"""The size of a checkpoint is estimated from shapes, without training."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sweeps.cli.main import main
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.config import parse_config
from trainable.profiling.cost import endless_batches, estimate_size, train
from trainable.training.trainer import Trainer

CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 2, "batch_size": 16},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "checkpoint": {"enabled": True, "save_frequency": 2, "save_best": False},
}
SPACE = {"optimizer.learning_rate": {"uniform": [0.1, 0.2]}}


@pytest.mark.parametrize(
    ("optimizer", "averages"),
    [
        ({"name": "sgd", "momentum": 0.9}, True),
        ({"name": "sgd", "momentum": 0.0}, False),
        ({"name": "adamw"}, False),
    ],
    ids=str,
)
def test_the_estimated_size_is_that_of_a_written_file(
    tmp_path: Path, optimizer: dict[str, object], averages: bool
) -> None:
    sections = {"optimizer": {"learning_rate": 0.1, **optimizer}, "ema": {"enabled": averages}}
    config = parse_config({**CONFIG, **sections})
    trainer = Trainer(config)
    train(
        trainer, iter([next(endless_batches(trainer))])
    )  # an optimizer has no state before its first step
    write_checkpoint(trainer.state_dict(), [tmp_path / "latest.pt"])
    parameters, size = estimate_size(config)
    assert parameters == sum(parameter.numel() for parameter in trainer.model.parameters())
    assert size == pytest.approx((tmp_path / "latest.pt").stat().st_size, rel=0.02)


def planned(tmp_path: Path, *, checkpoint: bool) -> dict[str, object]:
    config = {**CONFIG, "checkpoint": {**CONFIG["checkpoint"], "enabled": checkpoint}}
    data = {"config": config, "space": SPACE, "tune": {"num_samples": 3, "seed": 1}}
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    done = CliRunner().invoke(main, ["plan", str(path), "--json"])
    assert done.exit_code == 0, done.output
    plan: dict[str, object] = json.loads(done.stdout)
    return plan


def test_a_plan_estimates_the_disk_of_all_trials_without_a_probe(tmp_path: Path) -> None:
    """One file of each of the three trials, at the end of its two epochs."""
    size = estimate_size(parse_config(CONFIG))[1]
    assert planned(tmp_path, checkpoint=True)["disk_bytes"] == [3 * size, 3 * size]
    assert planned(tmp_path, checkpoint=False)["disk_bytes"] == [0, 0]
