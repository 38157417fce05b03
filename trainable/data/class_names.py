"""Compares the names of classes: those of a config, of its data and of a checkpoint.

A label is the position of a class in the list of names, so another order gives every image the
wrong class in silence. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainable.config import TrainConfig, with_classes
from trainable.data.listing import normalize_path

CLASSES_KEY = "dataset.classes"
MAX_LISTED_CLASSES = 10
MAX_MOVED_CLASSES = 3


def list_names(names: Sequence[str]) -> str:
    """Returns names as text, the first ones of a long list."""
    more = len(names) - MAX_LISTED_CLASSES
    shown = names if more <= 0 else names[:MAX_LISTED_CLASSES]
    return ", ".join(map(quote_name, shown)) + (f" and {more} more" if more > 0 else "")


def quote_name(name: str) -> str:
    """Returns a name as a message shows it: quoted where it would be misread."""
    is_plain = name.isprintable() and name == name.strip() and not set(name) & set(",;\"'")
    return name if name and is_plain else repr(name)


def describe_difference(expected: Iterable[str], present: Iterable[str]) -> str:
    """Returns which class names are missing and which are new, or nothing if they are the same."""
    wanted = {normalize_path(name): name for name in expected}
    names = {normalize_path(name): name for name in present}
    missing = [name for key, name in wanted.items() if key not in names]
    new = [name for key, name in names.items() if key not in wanted]
    parts = (("missing", missing), ("new", new))
    return " and ".join(f"{word} {list_names(listed)}" for word, listed in parts if listed)


def describe_moves(before: Sequence[str], now: Sequence[str]) -> str:
    """Returns which classes have another label than before, or nothing if none has.

    Args:
        before: Names in the order of their labels.
        now: The names now; those that only one of the lists has are not compared.
    """
    labels = {normalize_path(name): label for label, name in enumerate(now)}
    moved = [
        f"{quote_name(name)} was {label} and is {labels[key]}"
        for label, (name, key) in enumerate((name, normalize_path(name)) for name in before)
        if labels.get(key, label) != label
    ]
    more = len(moved) - MAX_MOVED_CLASSES
    return "; ".join(moved[:MAX_MOVED_CLASSES]) + (f"; and {more} more" if more > 0 else "")


def describe_unusable(names: Iterable[str]) -> str:
    """Returns which names cannot be used, and why, or nothing if all can."""
    encoded: list[bytes] = []
    spellings: dict[str, list[str]] = {}
    for name in names:
        if _is_text(name):
            spellings.setdefault(normalize_path(name), []).append(name)
        else:
            encoded.append(name.encode("utf-8", "surrogateescape"))
    twice = [name for name, spelled in spellings.items() if len(spelled) > 1]
    parts = (
        ("not in UTF-8; rename them", [repr(name)[1:] for name in encoded]),
        ("the same letters in two Unicode forms; merge them", twice),
    )
    return "; ".join(
        f"{', '.join(listed[:MAX_LISTED_CLASSES])} ({reason})"
        for reason, listed in parts
        if listed
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def saved_classes(saved: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Returns the names of the classes in a checkpoint's config, if it has them."""
    dataset = saved.get("dataset")
    classes = dataset.get("classes") if isinstance(dataset, Mapping) else None
    return tuple(classes) if classes else None


def with_saved_classes(config: TrainConfig, saved: Mapping[str, Any]) -> TrainConfig:
    """Returns a config with the class names of the training that it continues.

    Other classes in the data are then refused where they are read.

    Args:
        config: Complete settings. Names that it states stay, for classes that have been renamed.
        saved: The config of the checkpoint that the training continues from.
    """
    classes = saved_classes(saved)
    if config.dataset.classes is not None or classes is None:
        return config
    if saved["dataset"].get("name") != config.dataset.name:
        return config
    return with_classes(config, classes)


def refuse_moves(saved: Mapping[str, Any], now: Sequence[str]) -> str | None:
    """Returns why a training cannot continue with classes in another order, or None if it can.

    Args:
        saved: The config of the checkpoint that the training continues from.
        now: The names of the classes in the order of their labels.
    """
    classes = saved_classes(saved)
    moves = describe_moves(classes or (), now)
    if not moves or classes is None:
        return None
    return (
        f"the classes have other numbers than in the checkpoint: {moves}; set {CLASSES_KEY} to "
        f"all of them in the checkpoint's order: {list_names(classes)}"
    )
