"""A working directory like the one in which a reader types what the documentation shows."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import LOCK_FILE
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from tests.support.image_folders import write_image_folder
from trainable.artifacts.checkpoint import BEST_ACC, CONFIG, EPOCH, write_checkpoint
from trainable.config import load_config
from trainable.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
SWEEP = Path("experiments", "digits_asha")
BEST_IDS = ("1b458d41", "d0cc5731", "2c5acd22", "eb35ea23")
"""Ids of trials on the pages, best first."""
PHOTOS = Path("experiments", "photos_quick")
PHOTOS_IDS = ("2e3de13f", "6aabcf4d")
"""The sweep of docs/start/own_images_and_model.md, and ids of its trials, best first."""
TRIAL_NAME = re.compile(r"resnet20_digits_\d{8}_\d{6}_([0-9a-f]{8})|\bTRIAL\b")
"""A trial's directory on a page."""


@dataclass(frozen=True)
class DocPlace:
    """A directory with the shipped configs, images and a sweep `experiments/digits_asha`."""

    directory: Path

    def write(self) -> None:
        """Writes it; the sweep's checkpoints are real ones, of one epoch."""
        shutil.copytree(ROOT / "configs", self.directory / "configs")
        write_image_folder(self.directory / "data" / "images", side=24)
        write_image_folder(self.directory / "photos", side=24)
        for name in ("new_photos", "new_images"):
            shutil.copytree(self.directory / "photos" / "test", self.directory / name)
        shutil.copy(self.directory / "new_photos" / "cat" / "0.png", self.directory / "scan.png")
        ids_of = {"finetune_timm": BEST_IDS[:2], PHOTOS.name: PHOTOS_IDS, SWEEP.name: BEST_IDS}
        for name, ids in ids_of.items():
            directory = self.directory / "experiments" / name
            FakeSweep(directory, len(ids), space=ONE_KEY, tune={}, best_ids=ids).write()
        for trial in (self.directory / PHOTOS).glob("resnet20*"):
            (trial / "trial.log").write_text("epoch 1/20\n")
        self._write_weights()

    def _write_weights(self) -> None:
        """Trains one epoch and gives its weights to every trial of the sweep."""
        files = load(self.directory / SWEEP)
        (files.directory / LOCK_FILE).touch()
        first = files.results[0].directory
        trainer = Trainer(load_config(first / "config.yaml"), device=torch.device("cpu"))
        trainer.run_epoch()
        state = trainer.state_dict()
        for trial in files.results:
            last = trial.rows[-1]
            (trial.directory / "trial.log").write_text(f"epoch {last['epoch']}/9\n")
            config = load_config(trial.directory / "config.yaml").to_dict()
            of_trial = {EPOCH: last["epoch"], BEST_ACC: last["best_acc"], CONFIG: config}
            names = [trial.directory / "checkpoints" / name for name in ("best.pt", "latest.pt")]
            write_checkpoint({**state, **of_trial}, names)
        shutil.copytree(first, self.directory / "experiments" / "my_exp")

    def with_names(self, text: str) -> str:
        """Returns a page's text with the names of this sweep's trials for those of the page."""
        ranking = load(self.directory / SWEEP).results
        names = {page: trial.record for page, trial in zip(BEST_IDS, ranking, strict=False)}

        def directory(match: re.Match[str]) -> str:
            return names.get(match[1] or "", ranking[0].record).directory

        text = TRIAL_NAME.sub(directory, text)
        for page, record in names.items():
            text = re.sub(rf"\b{page[:4]}\w*\b", record.id, text)
        return text
