"""The keys of a new search file: their values, and why each has its value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sweeps.init.commented_yaml import Setting
from sweeps.init.sizing import FEW_IMAGES, Conditions, Size, is_from_library
from sweeps.init.training_settings import choose_metric
from sweeps.terminal.formatting import count_of

LEARNING_TRIALS = 10
"""Configurations from which on a search that learns is better than evenly spread points."""
KEPT_TRIALS = 5

Values = Iterator[tuple[str, Any, str]]


def list_search_settings(given: Conditions, size: Size, name: str, config: str) -> list[Setting]:
    """Lists the keys of a search file.

    Args:
        given: The data set, the model and the machine.
        size: The size of the sweep.
        name: The sweep's name.
        config: Path of the training config, relative to the search file.
    """
    sections: dict[str, Values] = {
        "space": _space(given, size),
        "tune": _tune(given, size),
        "resources": _resources(given, size),
        "keep": iter(
            [
                ("epochs", 1, "the newest epoch's checkpoint of a trial; best.pt always stays"),
                ("trials", f"top {KEPT_TRIALS}", "only the best trials keep their weights"),
            ]
        ),
    }
    return [
        Setting(("name",), name, "the sweep's directory in checkpoint.dir"),
        Setting(("config",), config, "the training config that all trials start from"),
        *(
            Setting((section, key), value, why)
            for section, values in sections.items()
            for key, value, why in values
        ),
    ]


def _space(given: Conditions, size: Size) -> Values:
    if size.recipe == "frozen":
        rate, why = [5e-4, 1e-2], "matters most; a quarter to five times that of the config"
        yield "optimizer.learning_rate", {"loguniform": rate}, why
        why = "the only other thing that holds a linear classifier back"
        yield "optimizer.weight_decay", {"loguniform": [1e-3, 1.0]}, why
    elif size.recipe == "finetune":
        yield from _finetuning_space(given)
    elif given.model.is_builtin:
        why = "matters most; from a tenth to five times that of the training config"
        yield "optimizer.learning_rate", {"loguniform": [1e-2, 0.5]}, why
        why = "matters more the longer the training is"
        yield "optimizer.weight_decay", {"loguniform": [1e-5, 1e-2]}, why
        sizes = [size.batch_size // 2, size.batch_size, 2 * size.batch_size]
        yield "training.batch_size", {"choice": sizes}, "goes with the learning rate"
        yield from _further_space(given)
    else:
        why = "matters most; from a tenth to ten times that of the training config"
        yield "optimizer.learning_rate", {"loguniform": [1e-4, 1e-2]}, why
        why = "matters more the longer the training is"
        yield "optimizer.weight_decay", {"loguniform": [1e-3, 1e-1]}, why
        yield from _further_space(given)


def _finetuning_space(given: Conditions) -> Values:
    model = given.model
    why = "matters most; half to twice that of the training config"
    yield "optimizer.learning_rate", {"loguniform": [1e-4, 4e-4]}, why
    if is_from_library(model):
        why = "below 1, early layers learn more slowly than late ones"
        yield "optimizer.layer_decay", {"uniform": [0.8, 1.0]}, why
    if "drop_path_rate" in model.backbone.args:
        why = "blocks that are left out at random: more with fewer images"
        yield "model.args.drop_path_rate", {"uniform": [0.1, 0.4]}, why
    if model.backbone.stages and given.facts.train < FEW_IMAGES:
        stages = [{"stages": 3}, {"stages": model.backbone.stages}]
        yield "model.freeze", {"choice": stages}, "how much of the backbone is trained"
    if not given.facts.is_finished:
        why = "the smallest part of an image that is shown"
        yield "augment.crop.min_scale", {"uniform": [0.3, 0.7]}, why


def _further_space(given: Conditions) -> Values:
    """Yields keys that a longer search from scratch tries besides."""
    if given.preset == "quick":
        return
    yield "ema.enabled", {"choice": [False, True]}, "averaged weights, which are often better"
    if given.facts.channels == 3 and not given.facts.is_finished:
        why = "one random change of colour or shape for each image"
        yield "augment.trivialaugment", {"choice": [False, True]}, why


def _tune(given: Conditions, size: Size) -> Values:
    metric, why = choose_metric(given.facts, size)
    yield "metric", metric, f"ranks the trials; {why}"
    yield "num_samples", size.trials, "configurations: as many as fit the time budget"
    if size.repeats > 1:
        yield (
            "repeats",
            size.repeats,
            "one trial for each fold; their mean ranks a configuration",
        )
    if size.trials >= LEARNING_TRIALS:
        startup = max(5, size.trials // 3)
        why = f"learns from earlier trials; the first {startup} are random"
        yield "search_alg", {"name": "tpe", "n_startup_trials": startup}, why
    else:
        yield "search_alg", "qmc", f"spreads {size.trials} trials evenly; too few to learn from"
    yield _choose_scheduler(size)
    if size.final is not None:
        top, repeats = size.final
        why = f"trains the best {top} again with {repeats} new seeds each: less left to chance"
        yield "final", {"top": top, "repeats": repeats}, why
    why = "then the sweep pauses; `sweep resume` continues it"
    yield "time_budget", format_budget(size.budget_s), why
    yield "seed", 42, "the same draws every time"


def _choose_scheduler(size: Size) -> tuple[str, Any, str]:
    if not size.early_stop:
        if size.recipe == "frozen":
            why = "all epochs, which cost little with stored features"
        elif size.repeats > 1:
            why = "all epochs, so that the folds can be averaged"
        else:
            why = "all epochs: too few trials, or too short ones, to end some early"
        return "scheduler", "fifo", why
    grace, factor = max(2, size.epochs // 4), 2 if size.trials < LEARNING_TRIALS else 3
    value = {"name": "asha", "grace_period": grace, "reduction_factor": factor}
    return "scheduler", value, f"ends the worse trials early, after epoch {grace} at first"


def _resources(given: Conditions, size: Size) -> Values:
    machine = given.machine
    why = f"cores of a trial; this machine has {count_of(machine.cpus, 'core')}"
    yield "cpu", size.cpus, why
    if machine.gpus:
        yield "gpu", "auto", "measures at the start how many trials can share a GPU"


def format_budget(seconds: float) -> str:
    """Returns a time budget as the search file has it: `10m`, `8h`, `90s`."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"
