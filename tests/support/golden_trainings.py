"""Small trainings whose results an earlier version of the code has left in `tests/golden`.

`python -m tests.support.golden_trainings` in a checkout of that version writes them anew: for each
of `CONFIGS` a JSON file with hashes of every epoch, and the checkpoint of the first epoch. With
`--print` it trains all of them, anew and from those checkpoints, and prints their epochs as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL
import torch

from tests.support.image_folders import write_image_folder
from trainable.artifacts.checkpoint import read_checkpoint, write_checkpoint
from trainable.config import parse_config
from trainable.training.trainer import Trainer

GOLDEN = Path(__file__).parents[1] / "golden" / "trainings"
EPOCHS = 3
TIMES = {"epoch_s", "images_per_s"}

_SYNTHETIC = {
    **{"name": "synthetic", "shape": [3, 16, 16], "num_classes": 4, "num_train": 120},
    **{"num_test": 40, "val_split": 0.2},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "sgd_cosine": {
        "dataset": _SYNTHETIC,
        "training": {"batch_size": 25, "accumulation_steps": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "nesterov": True, "weight_decay": 1e-3},
        "scheduler": {"name": "cosine", "warmup_epochs": 1, "eta_min": 1e-4},
    },
    "adam_plateau": {
        "dataset": _SYNTHETIC,
        "training": {"batch_size": 32},
        "optimizer": {"name": "adam", "learning_rate": 0.001, "weight_decay": 1e-3},
        "scheduler": {"name": "plateau", "patience": 0, "factor": 0.5, "min_lr": 0},
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
    },
    "adamw_step": {
        "seed": {"enabled": True, "value": 3, "deterministic": True},
        "dataset": {**_SYNTHETIC, "val_split": None},
        "training": {"batch_size": 32},
        "optimizer": {"name": "adamw", "learning_rate": 0.01, "betas": [0.8, 0.95]},
        "scheduler": {"name": "step", "step_size": 1, "gamma": 0.5},
    },
    "folder": {
        "dataset": {
            **{"name": "image_folder", "root": "ROOT", "image_size": 16, "num_workers": 0},
            "val_split": 0.25,
            "cache": False,
        },
        "training": {"batch_size": 4},
        "optimizer": {"name": "sgd", "learning_rate": 0.05},
        "scheduler": {"name": "exponential", "gamma": 0.7},
    },
}
"""Each trains `golden_model:cnn` with augmentation, which is the default."""


def make_trainer(name: str, directory: Path) -> Trainer:
    """Returns a new training; images in folders are written into the directory."""
    sections = {section: dict(values) for section, values in CONFIGS[name].items()}
    if name == "folder" and not (directory / "images").exists():
        write_image_folder(directory / "images", side=20)
    if name == "folder":
        sections["dataset"]["root"] = str(directory / "images")
    config = {
        "seed": {"enabled": True, "value": 11},
        "model": {"name": "golden_model:cnn"},
        "progress": {"enabled": False},
        **sections,
    }
    config["training"] = {"epochs": EPOCHS, "test_frequency": 1, **config["training"]}
    torch.set_num_threads(1)
    return Trainer(parse_config(config), device=torch.device("cpu"), allow_custom_model=True)


def describe_epoch(trainer: Trainer, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns hashes of weights and optimizer after an epoch, and its row without times."""
    return {
        "weights": hash_tensors(trainer.model.state_dict()),
        "optimizer": hash_tensors(
            {
                f"{name} {key}": value
                for name, parameter in trainer.model.named_parameters()
                for key, value in trainer.optimizer.state[parameter].items()
            }
        ),
        "row": {key: value for key, value in row.items() if key not in TIMES},
    }


def hash_tensors(tensors: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = torch.as_tensor(tensors[name]).detach().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def describe_machine(name: str) -> dict[str, str]:
    """Returns what the last bits of a training depend on; Pillow resizes the folder's images."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    processor = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    images = {"pillow": PIL.__version__} if name == "folder" else {}
    return {
        **images,
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": processor[1] if processor else "",
    }


def train(name: str, directory: Path, *, from_checkpoint: bool) -> list[dict[str, Any]]:
    """Trains to the end, anew or from the recorded checkpoint; returns the described epochs."""
    trainer = make_trainer(name, directory)
    if from_checkpoint:
        trainer.load_state_dict(read_checkpoint(GOLDEN / f"{name}.pt"))
    epochs = range(trainer.epoch, EPOCHS)
    return [describe_epoch(trainer, trainer.run_epoch()) for _ in epochs]


def print_epochs() -> None:
    """Prints name of a training -> its epochs trained anew and from the recorded checkpoint."""
    epochs = {}
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as directory:
            epochs[name] = [
                train(name, Path(directory), from_checkpoint=continued)
                for continued in (False, True)
            ]
    print(json.dumps(epochs))


def main() -> None:
    """Writes the golden files of this version of the code."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in CONFIGS:
        with tempfile.TemporaryDirectory() as directory:
            trainer = make_trainer(name, Path(directory))
            epochs = []
            for epoch in range(1, EPOCHS + 1):
                epochs.append(describe_epoch(trainer, trainer.run_epoch()))
                if epoch == 1:
                    write_checkpoint(trainer.state_dict(), [GOLDEN / f"{name}.pt"])
        content = {"machine": describe_machine(name), "epochs": epochs}
        (GOLDEN / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    print_epochs() if "--print" in sys.argv[1:] else main()
