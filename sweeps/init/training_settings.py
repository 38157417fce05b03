"""The keys of a new training config: their values, and why each has its value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from sweeps.init.commented_yaml import Setting
from sweeps.init.data_facts import UNCOUNTED, DataFacts
from sweeps.init.sizing import FEW_IMAGES, Conditions, Size, is_from_library
from trainable.config.override import override
from trainable.inspection.balance import IMBALANCE

UNEVEN = 3
"""Ratio of the largest class to the smallest from which on metrics by class are shown."""
FEW_VALIDATED = 200
"""Validation images below which the accuracy moves in steps that are too large."""
BATCH_STATISTICS = 5_000
"""Training images from which on BatchNorm uses the statistics of its batches."""
SMOOTHED_IMAGES = 5_000
"""Training images from which on a training from scratch has soft labels."""
EXPERIMENTS = "./experiments"
GIVEN = "given with --set"
SOURCE_REASONS = {
    "file": "the file of --data, below root",
    **{f"{kind}_column": f"the column of the {kind}s, by its name" for kind in ("path", "label")},
    "split_column": "the column of the splits, by its name",
}
"""Why keys of `dataset` that follow from `--data` have their values."""

Values = Iterator[tuple[str, Any, str]]
"""Key of a section, value, and why it has the value."""


def list_training_settings(given: Conditions, size: Size) -> list[Setting]:
    """Lists the keys of a training config.

    Args:
        given: The data set, the model and the machine.
        size: The size of the sweep.
    """
    metric, why = choose_metric(given.facts, size)
    sections: dict[str, Values] = {
        "seed": iter([("enabled", True, "the same data order for the same epoch in every trial")]),
        "dataset": _dataset(given, size),
        "model": _model(given, size),
        "loss": _loss(given, size),
        "training": _training(given.facts, size),
        "optimizer": _optimizer(given, size),
        "scheduler": _scheduler(size),
        "augment": _augment(given, size),
        "ema": _ema(given, size),
        "amp": _amp(given),
        "checkpoint": iter(
            [
                ("enabled", True, "keeps best.pt; the sweep can be paused and resumed"),
                ("dir", EXPERIMENTS, "the sweep's own directory is made in it"),
                ("save_frequency", size.epochs, "best.pt and latest.pt are enough"),
                ("monitor", metric, why),
            ]
        ),
    }  # fmt: skip
    settings = [
        Setting((section, key), value, reason)
        for section, values in sections.items()
        for key, value, reason in values
    ]
    names = list_metrics(given.facts)
    if names:
        why = f"the largest class has {given.facts.imbalance:.0f} times the images of the smallest"
        settings.append(Setting(("metrics",), names, why))
    return settings


def list_metrics(facts: DataFacts) -> list[str]:
    """Returns the metrics that are shown besides loss and accuracy."""
    return ["f1_macro", "balanced_accuracy"] if facts.imbalance > UNEVEN else []


def choose_metric(facts: DataFacts, size: Size) -> tuple[str, str]:
    """Returns the metric that decides between epochs and trials, and why."""
    validated = count_validated(facts, size)
    if facts.imbalance > IMBALANCE:
        return "val_f1_macro", "counts every class alike, however few images it has"
    is_few = validated < FEW_VALIDATED and facts.val != UNCOUNTED
    if size.recipe != "scratch" and is_few:
        why = f"less noisy than the accuracy of {validated} images, of which one is"
        return "val_loss", f"{why} {100 / max(1, validated):.1f} points"
    return "val_acc", "accuracy on the validation images"


def count_validated(facts: DataFacts, size: Size) -> int:
    """Returns the number of validation images of a trial, about."""
    if facts.val:
        return facts.val
    return round(facts.train * (1 / size.folds if size.folds else size.val_split or 0))


def _dataset(given: Conditions, size: Size) -> Values:
    facts = given.facts
    reasons = {**SOURCE_REASONS, **facts.reasons}
    for key, value in facts.section.items():
        yield key, value, reasons.get(key, GIVEN)
    if size.side is not None:
        yield "image_size", size.side, _explain_side(given)
        if given.model.pretrained and is_from_library(given.model):
            yield "crop_share", 1.0, "images are scored whole, without cutting off a border"
    if size.folds:
        why = (
            f"{facts.train} images are so few that one split is chance; tune.repeats trains on all"
        )
        yield "folds", size.folds, why
    elif size.val_split is not None:
        share = f"{size.val_split:.0%} of the training images"
        yield "val_split", size.val_split, f"{share} decide between epochs and trials"
    if size.recipe == "frozen":
        why = "each image as it is, so that its features are computed once for all trials"
        yield "augment", False, why


def _explain_side(given: Conditions) -> str:
    facts, model = given.facts, given.model
    if model.is_fixed:
        return "the size that the model is built for"
    parts = []
    if facts.side is not None:
        parts.append(f"the median of the shorter sides is {facts.side} pixels")
    if model.weights_side is not None:
        parts.append(f"the weights are of {model.weights_side} pixels")
    if not parts:
        return "smaller is faster, larger shows more"
    return ", ".join(parts)


def _model(given: Conditions, size: Size) -> Values:
    model, facts = given.model, given.facts
    yield "name", model.name, model.why
    yield "pretrained", model.pretrained, model.why_weights
    if size.recipe == "frozen":
        why = "only the classifier is trained, on features that are computed once and shared"
        yield "freeze", "backbone", why
    if size.recipe != "finetune" or not is_from_library(model):
        return
    if facts.train < BATCH_STATISTICS:
        why = "keeps the weights' statistics; those of small batches of few images are worse"
        yield "batch_norm", "eval", why
    if model.backbone.stages and facts.train < FEW_IMAGES:
        why = "few images: the first stages stay as they are"
        yield "freeze", {"stages": model.backbone.stages}, why
    if model.backbone.args:
        yield "args", dict(model.backbone.args), "dropout, and blocks that are left out at random"


def _loss(given: Conditions, size: Size) -> Values:
    facts = given.facts
    yield "name", "cross_entropy", "for images with one label each"
    if size.recipe != "scratch" or facts.train >= SMOOTHED_IMAGES:
        yield "label_smoothing", 0.1, "soft labels: less certain of itself, a little better"
    if facts.imbalance > IMBALANCE:
        ratio = f"{facts.largest} training images in the largest class, {facts.smallest}"
        yield "weight", "balanced", f"{ratio} in the smallest: all count alike"


def _training(facts: DataFacts, size: Size) -> Values:
    count = facts.train if facts.is_counted else "many"
    yield "batch_size", size.batch_size, f"for {count} training images"
    yield "epochs", size.epochs, "as many as fit the time budget"
    yield "test_frequency", size.epochs, "the test set is scored after the last epoch only"


def _optimizer(given: Conditions, size: Size) -> Values:
    if size.recipe == "frozen":
        yield "name", "adamw", "needs little tuning"
        yield "learning_rate", 2e-3, "a rate for a classifier alone; the search varies it"
        yield "weight_decay", 0.01, "the search varies it"
    elif size.recipe == "finetune":
        yield "name", "adamw", "needs little tuning"
        yield "learning_rate", 2e-4, "small, so that the weights are not forgotten"
        yield "weight_decay", 0.02, "a little regularisation"
        if is_from_library(given.model):
            yield "head_lr_factor", 20, "the classifier is new and learns faster than the rest"
        yield "decay_norm_and_bias", False, "no weight decay for norms and biases"
    elif given.model.is_builtin:
        yield "name", "sgd", "with momentum 0.9"
        yield "learning_rate", 0.1, "usual for a residual network; the search varies it"
        yield "weight_decay", 1e-4, "the search varies it"
    else:
        yield "name", "adamw", "needs little tuning for a network that is not known here"
        yield "learning_rate", 1e-3, "usual for AdamW; the search varies it"
        yield "weight_decay", 0.02, "the search varies it"


def _scheduler(size: Size) -> Values:
    yield "name", "cosine", "falls to 0 over the training"
    if size.recipe == "scratch":
        if size.epochs > 1:
            yield "warmup_epochs", 1, "a gentle start"
        return
    yield "on", "step", "few steps an epoch: the rate changes at every step"
    if size.recipe == "finetune" and size.epochs > 1:
        yield "warmup_epochs", 1, "a gentle start, since the classifier is new"


def _augment(given: Conditions, size: Size) -> Values:
    if size.recipe != "finetune" or given.facts.is_finished:
        return
    yield (
        "crop",
        {"min_scale": 0.5},
        "a random part of each image; the search varies it",
    )
    yield "horizontal_flip", 0.5, "mirrored images keep their class; else set 0"


def _ema(given: Conditions, size: Size) -> Values:
    if size.recipe != "scratch" or given.preset == "quick":
        return
    decay = choose_ema_decay(given.facts, size)
    yield "decay", decay, f"averages about the last {1 / (1 - decay):.0f} steps; space tries it"


def choose_ema_decay(facts: DataFacts, size: Size) -> float:
    """Returns a decay that averages about the last tenth of a training."""
    steps = size.epochs * ceil(facts.train / size.batch_size)
    return min(0.9998, max(0.9, round(1 - 10 / steps, 4)))


def _amp(given: Conditions) -> Values:
    if given.machine.gpus:
        yield "enabled", True, "bfloat16 on the GPU: less memory, faster"


def change_settings(settings: Sequence[Setting], changes: Mapping[str, Any]) -> list[Setting]:
    """Replaces values by those that were given with `--set`.

    Args:
        settings: The keys as they were chosen.
        changes: Dotted keys of the training config and their values.

    Raises:
        ConfigError: A key lies below a value that is not a mapping.
    """
    before = {setting.path: setting for setting in settings}
    after: list[Setting] = []
    for section, values in override(to_nested(settings), changes).items():
        nested = values.items() if isinstance(values, dict) else [(None, values)]
        for key, value in nested:
            path = (section,) if key is None else (section, key)
            old, name = before.get(path), ".".join(path)
            if old is None or any(f"{key}.".startswith(f"{name}.") for key in changes):
                old = Setting(path, value, GIVEN)
            after.append(replace(old, value=value))
    return after


def to_nested(settings: Iterable[Setting]) -> dict[str, Any]:
    """Returns settings as the nested values of a file, without those that are commented out."""
    data: dict[str, Any] = {}
    for setting in settings:
        *sections, key = setting.path
        if not setting.is_default:
            target = data.setdefault(sections[0], {}) if sections else data
            target[key] = setting.value
    return data
