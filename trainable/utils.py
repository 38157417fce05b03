"""The name under which scripts load a config: `from trainable.utils import load_config`."""

from trainable.config import load_config

__all__ = ["load_config"]
