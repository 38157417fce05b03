"""The type of a problem that the validation of a search file finds."""

from __future__ import annotations

from trainable.config.yaml_reader import PathKey

Violation = tuple[PathKey, str]
"""The path of a key in the search file or the space, and the rule that it breaks."""
