"""Lets scripts load a config with `from trainable.utils import load_config`."""

from trainable.config import load_config

__all__ = ["load_config"]
