"""Chooses how large a sweep is: recipe, image size, epochs and trials that fit a time budget.

The times are rough: milliseconds per image of `backbones`, scaled by the area of the images, and
constants for the start of the sweep and of each trial. They are right to within a factor of two or
three; `plan --probe` measures. A sweep is therefore planned for half of its budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import Any, Literal

from sweeps.init.backbones import ModelChoice, PresetName
from sweeps.init.data_facts import DataFacts
from sweeps.init.machine import Machine

Recipe = Literal["frozen", "finetune", "scratch"]
"""`frozen`: only the classifier is trained, on stored features of pretrained weights."""

START_S, TRIAL_START_S = 20.0, 8.0
"""Seconds until the first trial begins, and from the start of a trial to its first batch."""
EPOCH_S = 0.3
"""Least seconds of an epoch: evaluation, files, the scheduler."""
FORWARD = 1 / 3
"""Cost of an evaluated image relative to one that is trained on."""
CORES_OF_A_GPU = 200
"""CPU cores that train as fast as a GPU: a guess, since nothing has run on a GPU yet."""
FILLED = 0.5
"""Share of the budget that a sweep is planned for."""
ASHA_SHARE = 0.6
"""Share of the epochs that trials get under `asha`, about; `sweep plan` estimates it better."""
MEMORY_OF_A_TRIAL_GIB = 1.5
MAX_CPUS_OF_A_TRIAL = 8

LIBRARY_SIDES = (224, 192, 160, 128, 96)
SCRATCH_SIDES = (64, 48, 32)
SHORTER = (1.0, 0.6, 0.35)
"""Shares of a preset's epochs that are tried, if its budget is too small for all."""
MIN_EPOCHS = 3
MANY_IMAGES = 20_000
"""Training images from which on a fine-tuning takes half the epochs."""
FEW_IMAGES = 2_000
"""Training images below which a linear classifier on frozen features is about as good as
fine-tuning, which costs many times as much (`tests/benchmarks/RESULTS.md`)."""
MAX_LONGER = 3.0
"""Factor of a preset's epochs for a training from scratch on very few images, which has few steps
an epoch."""
FOLDED_IMAGES = 500
"""Training images below which `best` trains each configuration on five folds."""
FOLDS = 5


@dataclass(frozen=True)
class Preset:
    """The limits of a preset."""

    budget_s: float
    trials: tuple[int, int]
    """Least and most configurations."""
    epochs: dict[Recipe, int]
    max_side: int
    """Largest image size of a fine-tuning on a CPU; a GPU has that of the weights."""
    final: tuple[int, int] | None = None
    """`top` and `repeats` of `tune.final`."""


PRESETS: dict[PresetName, Preset] = {
    "quick": Preset(600, (4, 8), {"frozen": 20, "finetune": 8, "scratch": 12}, 128),
    "good": Preset(3600, (8, 24), {"frozen": 30, "finetune": 12, "scratch": 30}, 160, (3, 2)),
    "best": Preset(8 * 3600, (16, 64), {"frozen": 40, "finetune": 20, "scratch": 60}, 224, (3, 3)),
}


@dataclass(frozen=True)
class Size:
    """The size of a sweep."""

    recipe: Recipe
    side: int | None
    """`dataset.image_size`; None leaves it to the data or the weights."""
    epochs: int
    trials: int
    """Configurations."""
    cpus: int
    """CPU cores of a trial."""
    batch_size: int
    val_split: float | None
    folds: int | None
    final: tuple[int, int] | None
    early_stop: bool
    """Whether `asha` ends trials early."""
    budget_s: float
    seconds: float = field(default=0.0, compare=False)
    """Expected time of the sweep, roughly."""

    @property
    def repeats(self) -> int:
        """Trials of a configuration."""
        return self.folds or 1

    def describe(self) -> str:
        """Returns e.g. `frozen backbone, 8 configurations of 30 epochs at 128 pixels`."""
        kinds = {"frozen": "frozen backbone", "finetune": "fine-tuned", "scratch": "all trained"}
        folds = f" on {self.folds} folds" if self.folds else ""
        side = f" at {self.side} pixels" if self.side else ""
        return (
            f"{kinds[self.recipe]}, {self.trials} configurations{folds} of {self.epochs} epochs"
            f"{side}"
        )

    @property
    def fits(self) -> bool:
        """Whether the expected time is below the budget."""
        return self.seconds <= self.budget_s


@dataclass(frozen=True)
class Conditions:
    """Everything that the size of a sweep depends on."""

    facts: DataFacts
    machine: Machine
    model: ModelChoice
    preset: PresetName
    budget_s: float | None = None
    """The user's time budget; None takes that of the preset, or more where it is too short."""
    slowness: float = 1.0
    """Measured time of an epoch by the estimated one."""
    is_measured: bool = False
    """Whether `slowness` has been measured on this machine."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys of the training config that the user has set."""


def choose_size(given: Conditions) -> Size:
    """Chooses the first candidate that fits the budget, or the cheapest one, with few trials."""
    preset = PRESETS[given.preset]
    least, most = preset.trials
    budget_s = given.budget_s or preset.budget_s
    candidates = list(_list_candidates(given, budget_s))
    fitting = (size for size in candidates if size.seconds <= FILLED * budget_s)
    size = next(fitting, None)
    if size is None:
        size = min(candidates, key=lambda candidate: candidate.seconds)
        if size.seconds > budget_s and given.budget_s is None:
            size = replace(size, budget_s=_round_up(2 * size.seconds))
        return size
    for trials in range(most, least, -1):
        more = _with_seconds(_with_trials(size, trials), given)
        if more.seconds <= FILLED * budget_s:
            return more
    return size


def _round_up(seconds: float) -> float:
    """Returns a time in whole tens of minutes, or in whole hours."""
    unit = 600 if seconds < 2 * 3600 else 3600
    return float(ceil(seconds / unit) * unit)


def _list_candidates(given: Conditions, budget_s: float) -> Iterator[Size]:
    """Yields sizes with the least trials, the preferred one first."""
    preset, facts = PRESETS[given.preset], given.facts
    val_split, folds = _choose_split(given)
    for recipe in _list_recipes(given):
        for side, epochs in _list_lengths(given, recipe):
            size = Size(
                recipe=recipe,
                side=side,
                epochs=epochs,
                trials=preset.trials[0],
                cpus=_choose_cpus(given.machine, preset.trials[1]),
                batch_size=_choose_batch_size(facts.train),
                val_split=val_split,
                folds=folds,
                final=None if folds else preset.final,
                early_stop=False,
                budget_s=budget_s,
            )
            yield _with_seconds(_with_trials(size, preset.trials[0]), given)


def _list_lengths(given: Conditions, recipe: Recipe) -> Iterator[tuple[int | None, int]]:
    """Yields image sizes and epochs. From scratch, epochs matter more than the size."""
    sides, epochs = _list_sides(given, recipe), _list_epochs(given, recipe)
    if recipe == "scratch":
        yield from ((side, number) for number in epochs for side in sides)
    else:
        yield from ((side, number) for side in sides for number in epochs)


def _list_epochs(given: Conditions, recipe: Recipe) -> list[int]:
    """Lists the numbers of epochs that are tried, the largest first."""
    wanted = given.changes.get("training.epochs")
    if isinstance(wanted, int) and wanted > 0:
        return [wanted]
    full = _full_epochs(given, recipe)
    return [max(MIN_EPOCHS, round(full * share)) for share in SHORTER]


def _list_recipes(given: Conditions) -> tuple[Recipe, ...]:
    if not given.model.pretrained:
        return ("scratch",)
    if given.model.is_builtin or given.facts.is_finished or not is_from_library(given.model):
        return ("finetune",)
    is_quick = given.preset == "quick" and not given.machine.gpus
    return ("frozen",) if is_quick else ("finetune", "frozen")


def is_from_library(model: ModelChoice) -> bool:
    """Returns whether a model is one of timm or torchvision, of which the classifier is known."""
    return model.weights_side is not None


def _full_epochs(given: Conditions, recipe: Recipe) -> int:
    epochs, train = PRESETS[given.preset].epochs[recipe], given.facts.train
    if recipe == "scratch" and train < FEW_IMAGES:
        return ceil(epochs * min(MAX_LONGER, sqrt(FEW_IMAGES / train)))
    return ceil(epochs / 2) if recipe == "finetune" and train > MANY_IMAGES else epochs


def _list_sides(given: Conditions, recipe: Recipe) -> list[int | None]:
    """Lists the image sizes that are tried, the largest first."""
    facts, model = given.facts, given.model
    if not facts.is_resized or "image_size" in facts.section:
        return [facts.section.get("image_size")]
    if model.is_fixed:
        return [model.weights_side]
    sides = SCRATCH_SIDES if recipe == "scratch" else LIBRARY_SIDES
    largest = model.weights_side or sides[0]
    if recipe == "finetune" and not given.machine.gpus:
        largest = min(largest, PRESETS[given.preset].max_side)
    largest = max(sides[-1], min(largest, facts.side or largest))
    return [side for side in sides if side <= largest]


def _choose_split(given: Conditions) -> tuple[float | None, int | None]:
    """Returns `val_split` and `folds`; both None where the data have validation images."""
    facts = given.facts
    if {"val_split", "folds"} & facts.section.keys():
        return facts.section.get("val_split"), facts.section.get("folds")
    if facts.val:
        return None, None
    if given.preset == "best" and facts.train < FOLDED_IMAGES and facts.smallest >= 2 * FOLDS:
        return None, FOLDS
    return (0.2 if facts.train < 5_000 else 0.1), None


def _choose_cpus(machine: Machine, most_trials: int) -> int:
    """Returns the cores of a trial: as many as keep all trials within cores and memory."""
    if machine.gpus:
        return max(1, min(4, machine.cpus // (2 * machine.gpus)))
    by_memory = max(1, int(machine.memory_gib / MEMORY_OF_A_TRIAL_GIB))
    concurrent = max(1, min(machine.cpus, most_trials, by_memory))
    return max(1, min(MAX_CPUS_OF_A_TRIAL, machine.cpus // concurrent))


def _choose_batch_size(train: int) -> int:
    return 32 if train < FEW_IMAGES else 64 if train < MANY_IMAGES else 128


def _with_trials(size: Size, trials: int) -> Size:
    """Returns a size with so many configurations, and the scheduler that goes with them."""
    has_rungs = size.epochs >= 6 and trials >= 6
    early_stop = has_rungs and size.recipe != "frozen" and not size.folds
    return replace(size, trials=trials, early_stop=early_stop)


def _with_seconds(size: Size, given: Conditions) -> Size:
    return replace(size, seconds=estimate_seconds(size, given))


def estimate_seconds(size: Size, given: Conditions) -> float:
    """Returns the expected time of a sweep, roughly."""
    concurrent = concurrent_trials(size, given.machine)
    epochs_s = size.epochs * estimate_epoch_s(size, given)
    share = ASHA_SHARE if size.early_stop else 1.0
    top, repeats = size.final or (0, 0)
    searched = size.trials * size.repeats * (TRIAL_START_S + share * epochs_s)
    finals = min(top, size.trials) * repeats * (TRIAL_START_S + epochs_s)
    features_s = 0.0
    if size.recipe == "frozen":
        images = given.facts.images * size.repeats
        features_s = images * FORWARD * _image_s(size, given)
    return START_S + features_s + (searched + finals) / concurrent


def estimate_epoch_s(size: Size, given: Conditions) -> float:
    """Returns the seconds of an epoch of one trial, roughly."""
    facts = given.facts
    if size.recipe == "frozen":
        return EPOCH_S
    val = facts.train * (1 / size.folds if size.folds else size.val_split or 0.0)
    trained, evaluated = facts.train - val, facts.val + val
    return EPOCH_S + (trained + FORWARD * evaluated) * _image_s(size, given)


def estimate_probed_s(size: Size, given: Conditions) -> float:
    """Returns the seconds of an epoch as a probe trains it, which stores no features."""
    if size.recipe != "frozen":
        return estimate_epoch_s(size, given)
    images = given.facts.train + given.facts.val
    return EPOCH_S + images * FORWARD * _image_s(size, given)


def _image_s(size: Size, given: Conditions) -> float:
    """Returns the seconds that a trial trains on an image."""
    backbone = given.model.backbone
    side = size.side or given.facts.side or given.model.weights_side or backbone.side
    ms = backbone.ms * (side / backbone.side) ** 2 * given.slowness
    return ms / 1000 / (CORES_OF_A_GPU if given.machine.gpus else size.cpus)


def concurrent_trials(size: Size, machine: Machine) -> int:
    """Returns how many trials run at the same time; on a GPU, one for each."""
    by_cpus = max(1, machine.cpus // size.cpus)
    return min(by_cpus, machine.gpus) if machine.gpus else by_cpus
