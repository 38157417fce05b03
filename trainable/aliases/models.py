"""The short name of `trainable.models` in a checkout: `from models import get_model`."""

from trainable.models import get_model, list_models

__all__ = ["get_model", "list_models"]
