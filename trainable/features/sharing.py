"""Which trainings use stored features, and which of them share them. Does not import torch."""

from __future__ import annotations

from collections.abc import Collection

from trainable.config import TrainConfig

SEPARATING_KEYS = ("amp", "augment", "dataset", "model.args", "model.in_channels", "model.name",
                   "model.pretrained")  # fmt: skip
"""Keys and sections of the config; trainings that differ in one of them have other features."""


def uses_features(config: TrainConfig) -> bool:
    """Returns whether a training has nothing but a classifier to train, and features are on."""
    model = config.model
    return (
        config.training.cache_features
        and model.freeze == "backbone"
        and model.unfreeze_epoch is None
    )


def describe_sharing(config: TrainConfig, swept: Collection[str]) -> str | None:
    """Returns a line on the features of a sweep's trials; None if there are none.

    Args:
        config: The config of one of the trials.
        swept: Dotted keys in which trials may differ.
    """
    if not uses_features(config):
        return None
    if config.augment.mixes:
        return "features of the frozen backbone: not stored, because of mixup or cutmix"
    keys = [key for key in swept if f"{key}.".startswith(tuple(f"{k}." for k in SEPARATING_KEYS))]
    if not config.model.pretrained:
        keys += [key for key in swept if key.startswith("seed.")]
    shared = f"all trials with the same {', '.join(keys)}" if keys else "all trials"
    return f"features of the frozen backbone: computed once per node for {shared}"
