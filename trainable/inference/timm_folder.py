"""`config.json`, with which timm loads a folder of exported weights (`local-dir:FOLDER`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import nn

from trainable.inference.description import Description

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
"""The name that timm looks for beside it."""
PREFIX = "timm/"


def timm_config(model: nn.Module, description: Description) -> str:
    """Returns the content of `config.json`, as timm itself writes it.

    Args:
        model: A model of timm, with contiguous weights.
        description: Its preprocessing and classes go into the file.
    """
    from timm.models import save_for_hf

    image = description["preprocessing"]
    with tempfile.TemporaryDirectory() as folder:
        save_for_hf(
            model,
            folder,
            model_config={"label_names": description["classes"]},
            safe_serialization=True,
            data_config={
                "input_size": (image["channels"], *image["size"]),
                "mean": tuple(image["mean"]),
                "std": tuple(image["std"]),
                "interpolation": image["interpolation"],
                # timm rounds the side down that it resizes to.
                "crop_pct": min(image["size"]) / (image["resize"] + 0.5),
                "crop_mode": "center",
            },
        )
        return Path(folder, CONFIG_FILE).read_text(encoding="utf-8")
