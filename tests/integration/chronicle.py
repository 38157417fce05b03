"""Records exploits, starts and saves in a population, with copies of files replaced later."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.execution.recorder import RecordCallback
from sweeps.trials.trial import SweepTrial
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import parse_config
from trainable.training.trainer import Trainer


@dataclass
class Exploit:
    """One exploit, as the driver decided it."""

    recipient: str
    donor: str
    epoch: int
    config: dict[str, Any]
    """The recipient's config from then on."""
    donor_copy: Path
    """A copy of the donor's checkpoint."""
    started: bool = False
    """Whether the recipient has started to train with it."""
    after: Path | None = None
    """A copy of the recipient's first checkpoint afterwards."""


@dataclass
class Chronicle:
    """The events of one driver process of a sweep."""

    directory: Path
    exploits: list[Exploit] = field(default_factory=list)
    first_saves: dict[str, Path] = field(default_factory=dict)
    """Trial id -> a copy of its first checkpoint, if it was saved before any exploit."""

    def on_exploit(self, scheduler: Any, recipient: Trial, donor: Trial) -> None:
        """Records an exploit that has just taken place."""
        state = scheduler._trial_state[donor]
        donor_copy = self._copy(Path(state.last_checkpoint.path))
        config = dict(recipient.config)
        epoch = state.last_result["epoch"]
        exploit = Exploit(recipient.trial_id, donor.trial_id, epoch, config, donor_copy)
        self.exploits.append(exploit)

    def on_start(self, trial: Trial) -> None:
        """Marks the exploit with which a trial starts to train."""
        exploit = self.last(trial.trial_id)
        if exploit is not None:
            exploit.started = True

    def on_checkpoint(self, trial: Trial, result: Any) -> None:
        """Copies a trial's first checkpoint, and its first one after an exploit."""
        exploit = self.last(trial.trial_id)
        if exploit is None:
            if trial.trial_id not in self.first_saves:
                self.first_saves[trial.trial_id] = self._copy(Path(result.checkpoint.path))
        elif exploit.after is None:
            exploit.after = self._copy(Path(result.checkpoint.path))

    def last(self, trial_id: str) -> Exploit | None:
        """Returns the last exploit of a recipient."""
        exploits = [exploit for exploit in self.exploits if exploit.recipient == trial_id]
        return exploits[-1] if exploits else None

    def _copy(self, checkpoint: Path) -> Path:
        copy = self.directory / f"{len(list(self.directory.iterdir()))}.pt"
        shutil.copyfile(checkpoint / "checkpoint.pt", copy)
        return copy


@contextmanager
def watched(directory: Path) -> Iterator[Chronicle]:
    """Records exploits, starts and saves in the driver without changing them."""
    chronicle = Chronicle(directory)
    exploit, save = PopulationBasedTraining._exploit, SweepTrial.on_checkpoint
    start_trial = RecordCallback.on_trial_start

    def on_exploit(self: Any, controller: Any, recipient: Trial, donor: Trial) -> None:
        exploit(self, controller, recipient, donor)
        chronicle.on_exploit(self, recipient, donor)

    def on_checkpoint(self: SweepTrial, result: Any) -> None:
        save(self, result)
        chronicle.on_checkpoint(self, result)

    def on_trial_start(self: RecordCallback, *args: Any, **info: Any) -> None:
        start_trial(self, *args, **info)
        chronicle.on_start(info["trial"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PopulationBasedTraining, "_exploit", on_exploit)
        patch.setattr(SweepTrial, "on_checkpoint", on_checkpoint)
        patch.setattr(RecordCallback, "on_trial_start", on_trial_start)
        yield chronicle


def one_epoch_after(state: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Returns the state after one more epoch of training with a config's hyperparameters."""
    trainer = Trainer(parse_config(config), device=torch.device("cpu"), allow_custom_model=True)
    trainer.load_state_dict(state)
    trainer.run_epoch()
    result: dict[str, Any] = to_cpu(trainer.state_dict())
    return result
