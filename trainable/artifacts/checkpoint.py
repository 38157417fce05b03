"""The checkpoint format: the keys of a `.pt` file, how one is written, read and judged.

Every file holds tensors on the CPU and plain values only, so `torch.load(path)` with its default
arguments (`weights_only=True`) loads it anywhere.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from trainable.atomic_files import write_once
from trainable.config import TrainConfig
from trainable.errors import CheckpointError

MODEL = "model_state_dict"
OPTIMIZER = "optimizer_state_dict"
SCHEDULER = "scheduler_state_dict"
SCALER = "scaler_state_dict"
"""Only with mixed precision in float16."""
EPOCH = "epoch"
"""The last completed epoch, 1-based."""
BEST_ACC = "best_acc"
CONFIG = "config"
RESUME = "resume_state"
"""What exact resume needs besides: `format`, `seed`, `best_epoch`."""

FORMAT = 1
_UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What `torch.load` raises on bytes that are no checkpoint, besides its UnpicklingError."""

REQUIRED = (MODEL, OPTIMIZER, SCHEDULER, EPOCH, BEST_ACC, CONFIG)
TYPES = {
    MODEL: dict,
    OPTIMIZER: dict,
    SCHEDULER: dict,
    SCALER: dict,
    EPOCH: int,
    BEST_ACC: float,
    CONFIG: dict,
    RESUME: dict,
}


def to_cpu(value: Any) -> Any:
    """Copies every tensor of a nested state to the CPU; other values stay as they are."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return value


def write_checkpoint(state: dict[str, Any], names: Iterable[Path]) -> None:
    """Serialises a state once and gives the file every one of the names.

    Args:
        state: The keys above; tensors of any device.
        names: Paths in the order in which they are replaced. The one that a resume reads comes
            last, so that a kill in between repeats an epoch instead of losing a name.
    """
    cpu_state = to_cpu(state)
    write_once(names, lambda file: torch.save(cpu_state, file))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint's tensors onto the CPU and checks that it is one of ours.

    Raises:
        CheckpointError: The file is missing, truncated, foreign or unsafe; says what was expected
            and found, and which other checkpoints of the directory are good.
    """
    path = Path(path)
    found = _fault(path)
    if isinstance(found, dict):
        return found
    good = [p.name for p in sorted(path.parent.glob("*.pt")) if p != path and is_complete(p)]
    text = f"{path}: {found}"
    if path.parent.is_dir():
        text += f"; good checkpoints beside it: {', '.join(good) if good else 'none'}"
    raise CheckpointError(text)


def is_complete(path: Path) -> bool:
    """Whether a file is a whole, loadable checkpoint."""
    return isinstance(_fault(path), dict)


def checkpoint_epoch(path: Path) -> int | None:
    """The last completed epoch in a checkpoint file, or None if it is not a good one."""
    state = _fault(path)
    return int(state[EPOCH]) if isinstance(state, dict) else None


def mismatch(state: dict[str, Any], config: TrainConfig, reason: str) -> str:
    """The sentence that says why a good checkpoint is not one of a config's training."""
    model, optimizer = (_config_name(state, section) for section in ("model", "optimizer"))
    return (
        f"the checkpoint is of {model} with {optimizer}, "
        f"which does not fit {config.model.name} with {config.optimizer.name}: {reason}"
    )


def _config_name(state: dict[str, Any], section: str) -> Any:
    """What a checkpoint's config names; a foreign one may have another form."""
    found = state[CONFIG].get(section)
    return found.get("name") if isinstance(found, dict) else found


def _fault(path: Path) -> dict[str, Any] | str:
    """The loaded state, or the sentence that says why there is none."""
    if not path.exists():
        return "there is no such file"
    if not path.is_file():
        return "expected a .pt file, found a directory"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a foreign pickle, said below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not torch's own text: it advises to load without the check, which runs what it finds.
        code = re.search(r"GLOBAL (\S+)", str(error))
        found = f"code ({code[1]})" if code else "a foreign file"
        return f"expected tensors and plain values only, found {found}"
    except _UNREADABLE as error:
        first = str(error).partition("\n")[0]
        return (
            "expected a whole checkpoint, found a truncated or foreign file "
            f"({type(error).__name__}: {first})"
        )
    return _misfit(state) or state


def _misfit(state: Any) -> str | None:
    """The sentence that says why a loaded object is no checkpoint of ours, if it is none."""
    if not isinstance(state, dict):
        return f"expected a mapping of {', '.join(REQUIRED)}, found {type(state).__name__}"
    missing = [key for key in REQUIRED if key not in state]
    if missing:
        return f"expected the keys {', '.join(REQUIRED)}, found none named {', '.join(missing)}"
    for key, kind in TYPES.items():
        if key in state and not isinstance(state[key], kind):
            return f"expected {key} of type {kind.__name__}, found {type(state[key]).__name__}"
    version = state.get(RESUME, {}).get("format", FORMAT)
    if version > FORMAT:
        return f"expected checkpoint format {FORMAT} or older, found {version}"
    return None
