"""Builds the model of a checkpoint, in evaluation mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from trainable.artifacts.checkpoint import MODEL, mismatch_message
from trainable.config import TrainConfig
from trainable.errors import CheckpointError
from trainable.models import get_model


def load_model(config: TrainConfig, state: Mapping[str, Any], *, allow_custom: bool) -> nn.Module:
    """Returns a checkpoint's model in evaluation mode, on the CPU.

    With `ema.enabled` it has the averaged weights, which are the better ones.

    Args:
        config: The config of the checkpoint.
        state: The checkpoint.
        allow_custom: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: The model cannot be built, or the weights are of another one.
    """
    model = get_model(config, allow_custom=allow_custom)
    try:
        model.load_state_dict(state[MODEL])
    except RuntimeError as error:
        message = mismatch_message(dict(state), config, str(error).partition("\n")[0])
        raise CheckpointError(message) from error
    return model.eval()
