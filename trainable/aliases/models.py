"""Lets a script in a checkout write `from models import get_model`."""

from trainable.models import get_model, list_models

__all__ = ["get_model", "list_models"]
