"""Under `seed.deterministic` the number of CPU threads is recorded and used again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.config import TrainConfig, load_config
from trainable.experiment.fit import Outcome
from trainable.ray_trial.trial_run import TrialRun
from trainable.training.device import (
    describe_threads,
    process_threads,
    set_threads,
    with_saved_threads,
)
from trainable.training.seeding import RngState
from trainable.training.trainer import Trainer
from trainable.trial_settings import SETTINGS

MakeConfig = Callable[..., TrainConfig]

pytestmark = pytest.mark.usefixtures("working_directory")

SECTIONS: dict[str, Any] = {
    "seed": {"enabled": True, "deterministic": True},
    "model": {"name": "tiny_models:dropout_cnn"},
    "training": {"epochs": 2, "batch_size": 256},
    "checkpoint": {"enabled": True, "save_frequency": 1},
}
"""A training whose losses differ between one and two threads, at least on some CPUs."""


@pytest.fixture(autouse=True)
def _same_threads_after() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    set_threads(None)
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


def start_process(threads: int) -> None:
    """Makes this process one that no training has used."""
    set_threads(None)
    torch.set_num_threads(threads)


def losses(rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["val_loss"]) for row in rows]


def run_trial(config: TrainConfig, directory: Path) -> list[dict[str, Any]]:
    """Trains a trial as a worker with one thread does."""
    start_process(threads=1)
    trial = TrialRun(
        {**config.to_dict(), SETTINGS: {"gpu": 0, "allow_custom_model": True}}, "t", directory
    )
    rows = [trial.step() for _ in range(config.training.epochs)]
    trial.close()
    return rows


def test_a_trials_config_alone_gives_the_trials_numbers(
    tiny_config: MakeConfig, run_fit: Callable[..., Outcome], tmp_path: Path
) -> None:
    rows = run_trial(tiny_config(**SECTIONS), tmp_path / "trial")
    line = "note: seed.deterministic: the results hold for 1 CPU thread (seed.threads)\n"
    assert line in (tmp_path / "trial" / "trial.log").read_text()
    config = load_config(tmp_path / "trial" / "config.yaml")
    assert config.seed.threads == 1
    start_process(threads=2)
    assert losses(run_fit(config).rows) == losses(rows)
    assert (torch.get_num_threads(), process_threads()) == (1, 2)


def test_a_training_continues_with_the_threads_of_its_checkpoint(
    tiny_config: MakeConfig, run_fit: Callable[..., Outcome], tmp_path: Path
) -> None:
    rows = run_trial(tiny_config(**SECTIONS), tmp_path / "trial")
    checkpoint = tmp_path / "trial" / "checkpoints" / "epoch_0001.pt"
    assert torch.load(checkpoint)["config"]["seed"]["threads"] == 1
    start_process(threads=2)
    resumed = tiny_config(**{**SECTIONS, "checkpoint": {"resume": str(checkpoint)}})
    assert losses(run_fit(resumed).rows) == losses(rows[1:])


def test_a_trial_is_restored_with_the_threads_of_its_checkpoint(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config(**SECTIONS)
    settings = {"gpu": 0, "allow_custom_model": True}
    rows = run_trial(config, tmp_path / "whole")
    start_process(threads=1)
    first = TrialRun({**config.to_dict(), SETTINGS: settings}, "t", tmp_path / "trial")
    first.step()
    saved = tmp_path / "trial" / "checkpoint_000000"
    saved.mkdir()
    first.save_into(saved)
    first.close()
    start_process(threads=2)
    second = TrialRun({**config.to_dict(), SETTINGS: settings}, "t", tmp_path / "trial")
    second.load(saved)
    assert losses([second.step()]) == losses(rows[1:])
    second.close()
    assert load_config(tmp_path / "trial" / "config.yaml").seed.threads == 1


def test_only_a_deterministic_training_records_its_threads(tiny_config: MakeConfig) -> None:
    trainer = Trainer(tiny_config(), device=torch.device("cpu"), allow_custom_model=True)
    assert trainer.config.seed.threads is None
    assert not any("threads" in notice for notice in trainer.notices)
    assert with_saved_threads(tiny_config(), {"config": {"seed": {"threads": 1}}}) == tiny_config()


@pytest.mark.parametrize("saved", [None, {}, {"seed": 3}, {"seed": {"value": 3}}])
def test_a_checkpoint_of_an_earlier_version_names_no_threads(
    tiny_config: MakeConfig, saved: Any
) -> None:
    config = tiny_config(**SECTIONS)
    assert with_saved_threads(config, None if saved is None else {"config": saved}) == config


def test_the_configs_own_number_wins_over_the_checkpoints(tiny_config: MakeConfig) -> None:
    config = tiny_config(seed={"deterministic": True, "threads": 3})
    assert with_saved_threads(config, {"config": {"seed": {"threads": 1}}}).seed.threads == 3


def test_the_processs_threads_come_back() -> None:
    start_process(threads=2)
    for count in (1, 3):
        set_threads(count)
        assert (torch.get_num_threads(), process_threads()) == (count, 2)
    set_threads(None)
    assert (torch.get_num_threads(), process_threads()) == (2, 2)


def test_a_machine_with_fewer_threads_is_named(tiny_config: MakeConfig) -> None:
    start_process(threads=2)
    assert describe_threads(tiny_config(seed={"threads": 2})) == []
    trainer = Trainer(
        tiny_config(seed={"threads": 3}), device=torch.device("cpu"), allow_custom_model=True
    )
    assert (
        "seed.threads is 3 and this process has 2: the results are the same, but it is slower"
        in trainer.notices
    )


def test_trainings_that_alternate_keep_their_own_threads() -> None:
    """As in a worker that several trials share."""
    start_process(threads=2)
    states = {1: RngState(draws=False), 3: RngState(draws=False)}
    for count, state in states.items():
        with state:
            set_threads(count)
    for count, state in [*states.items()] * 2:
        with state:
            assert torch.get_num_threads() == count
