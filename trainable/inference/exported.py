"""Loads exported weights into a model, by the description that lies in the same file."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from trainable.errors import CheckpointError
from trainable.inference.description import KEY, Description, plain_config
from trainable.models import get_model


def load_exported(
    path: str | Path, *, allow_custom_model: bool = False
) -> tuple[nn.Module, Description]:
    """Builds the model of a file of `sweep export-model --format safetensors`.

    Args:
        path: The file.
        allow_custom_model: Whether to import and call a model of the user's (`module:callable`).

    Returns:
        The model in evaluation mode, and the description.

    Raises:
        TuneSweepsError: The file has no description, or the model cannot be built.
    """
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        if KEY not in metadata:
            raise CheckpointError(f"{path}: no export of tune-sweeps: it has no {KEY} in its head")
        description: Description = json.loads(metadata[KEY])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = get_model(plain_config(description), allow_custom=allow_custom_model)
    model.load_state_dict(state)
    return model.eval(), description
