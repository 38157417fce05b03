"""Lets a script in a checkout write `from utils import load_config`."""

from trainable.utils import load_config

__all__ = ["load_config"]
