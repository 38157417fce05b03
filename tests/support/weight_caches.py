"""Lays weights into the caches of the hub's client and of torch, as a download does."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

COMMIT = "0" * 40


def lay_hub_cache(cache: Path, repository: str, state: dict[str, Tensor]) -> Path:
    """Writes `model.safetensors` of a repository into a hub cache; returns the file."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    file = folder / "snapshots" / COMMIT / "model.safetensors"
    file.parent.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    return file


def lay_torch_cache(home: Path, file_name: str, state: dict[str, Tensor]) -> Path:
    """Writes a file of weights into `hub/checkpoints` of a `TORCH_HOME`; returns the file."""
    file = home / "hub" / "checkpoints" / file_name
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    return file
