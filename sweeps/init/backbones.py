"""Chooses the model of a new sweep, and whether it starts from pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sweeps.init.data_facts import DataFacts
from sweeps.init.machine import Machine
from trainable.config import MODEL_NAMES, ModelConfig
from trainable.config.library_names import check_timm_is_installed, split_name
from trainable.config.own_code import is_own_code
from trainable.config.schema import validate
from trainable.config.sections.model import TIMM, is_library_model
from trainable.config.yaml_reader import Document
from trainable.errors import ConfigError, Problem

PresetName = Literal["quick", "good", "best"]

MIN_PRETRAINED_SIDE = 48
"""Shorter side in pixels from which on images are photographs for pretrained weights."""
SMALL_SIDE, LIBRARY_SIDE = 32, 96
"""Sides at which `ms` of a model is stated."""
UNKNOWN_MS = 90.0
"""`ms` of a model that is not in `BACKBONES`: about that of a ResNet-50."""

DROPOUT = {"drop_rate": 0.3, "drop_path_rate": 0.2}


@dataclass(frozen=True)
class Backbone:
    """A model that `sweep init` knows."""

    name: str
    ms: float
    """Milliseconds to train on one image, on one CPU core, measured to within a factor of two."""
    side: int
    """Height and width of the image that `ms` is for."""
    args: dict[str, Any] = field(default_factory=dict)
    """`model.args` of a fine-tuning."""
    stages: int | None = None
    """Stages that are frozen with few images; None: none."""


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("resnet20", 7, SMALL_SIDE),
        Backbone("resnet18", 45, SMALL_SIDE),
        Backbone("cnv", 7, SMALL_SIDE),
        Backbone("timm/tf_efficientnet_lite0", 27, LIBRARY_SIDE, DROPOUT, 5),
        Backbone("timm/convnext_atto", 19, LIBRARY_SIDE, DROPOUT),
        Backbone("timm/convnext_nano", 45, LIBRARY_SIDE, DROPOUT),
        Backbone("timm/convnext_tiny", 81, LIBRARY_SIDE, DROPOUT),
        Backbone("torchvision/resnet18", 30, LIBRARY_SIDE),
        Backbone("torchvision/resnet50", 92, LIBRARY_SIDE),
    )
}
"""Models whose cost is known. `ms` on a core of a shared machine of 2026, 2026-11-29."""

LITE, NANO, TINY = "timm/tf_efficientnet_lite0", "timm/convnext_nano", "timm/convnext_tiny"
RESNET18, RESNET50 = "torchvision/resnet18", "torchvision/resnet50"
ON_CPU = (LITE, RESNET18)
ON_GPU: dict[PresetName, tuple[str, ...]] = {
    "quick": (LITE, RESNET18),
    "good": (NANO, LITE, RESNET50, RESNET18),
    "best": (TINY, NANO, LITE, RESNET50, RESNET18),
}
"""Backbones in order of preference."""


@dataclass(frozen=True)
class ModelChoice:
    """The model of a sweep."""

    backbone: Backbone
    why: str
    pretrained: bool | str = False
    why_weights: str = "trained from scratch"
    weights_side: int | None = None
    """Height and width of the images that the weights were trained with."""
    is_fixed: bool = False
    """Whether the model is meant for images of one size."""
    notes: Sequence[str] = ()
    """Lines for the user."""

    @property
    def name(self) -> str:
        """The value of `model.name`."""
        return self.backbone.name

    @property
    def is_builtin(self) -> bool:
        """Whether it is a model of this project."""
        return self.name in MODEL_NAMES


def choose_model(
    facts: DataFacts, machine: Machine, preset: PresetName, model: str | None, weights: str | None
) -> ModelChoice:
    """Chooses the model.

    Args:
        facts: The data set.
        machine: The machine that will train.
        preset: The preset.
        model: The user's `model.name`; None chooses one.
        weights: A file of weights that the user has for the model; None looks for others.

    Raises:
        ConfigError: There is no such model, or it cannot have these weights.
    """
    if weights is not None and model is None:
        rule = "--weights needs --model, the architecture that they are of, e.g. timm/resnet18"
        raise ConfigError("the command line", [Problem("", rule)])
    if model is not None:
        return _take_given(model, weights)
    if facts.side is not None and facts.side < MIN_PRETRAINED_SIDE:
        why = f"a small network for images of {facts.side} pixels"
        return _choose_small(facts, machine, why, "pretrained weights are of larger photographs")
    return _choose_pretrained(facts, machine, preset)


def _take_given(name: str, weights: str | None) -> ModelChoice:
    _check_given(name, weights)
    architecture = f"{name.partition('/')[0]}/{split_name(name)[0]}"
    backbone = BACKBONES.get(architecture if is_library_model(name) else name)
    if backbone is None:
        is_small = name in MODEL_NAMES or is_own_code(name)
        backbone = Backbone(name, UNKNOWN_MS, SMALL_SIDE if is_small else LIBRARY_SIDE)
    choice = ModelChoice(replace(backbone, name=name), "given with --model")
    if is_library_model(name):
        choice = replace(choice, is_fixed=_has_fixed_size(name))
        if weights is None:
            refusal = explain_no_weights(name)
            if refusal is None:
                return _with_weights(choice)
            notes = [f"trained from scratch: {refusal}"]
            return replace(choice, why_weights="its weights cannot be had here", notes=notes)
        choice = replace(choice, weights_side=_find_side(name))
    if weights is not None:
        return replace(choice, pretrained=weights, why_weights="given with --weights")
    return choice


def _check_given(name: str, weights: str | None) -> None:
    """Checks `--model` and `--weights` by the schema of the training config.

    Raises:
        ConfigError: A name is not valid, or timm is not installed.
    """
    values = {"name": name, "pretrained": weights or False}
    validate(ModelConfig, Document(values, {}, "--model"))
    missing = check_timm_is_installed(name)
    if missing is not None:
        raise ConfigError("--model", [missing])


def _choose_small(
    facts: DataFacts, machine: Machine, why: str, why_weights: str, notes: Sequence[str] = ()
) -> ModelChoice:
    name = "resnet18" if machine.gpus and facts.channels == 3 else "resnet20"
    return ModelChoice(BACKBONES[name], why, False, why_weights, notes=notes)


def _choose_pretrained(facts: DataFacts, machine: Machine, preset: PresetName) -> ModelChoice:
    """Chooses the first backbone whose weights are on this machine or can be downloaded."""
    refusals: dict[str, str] = {}
    for name in ON_GPU[preset] if machine.gpus else ON_CPU:
        library, missing = name.partition("/")[0], check_timm_is_installed(name)
        if missing is not None:
            refusals[library] = missing.rule
            continue
        if library in refusals and not is_cached(name):
            continue  # its host has been tried
        refusal = explain_no_weights(name, briefly=True)
        if refusal is None:
            why = "small enough for CPUs" if not machine.gpus else f"of a size for {preset}"
            choice = ModelChoice(BACKBONES[name], f"pretrained, {why}")
            notes = [f"no weights of {key}: {text}" for key, text in refusals.items()]
            return _with_weights(replace(choice, notes=notes))
        refusals[library] = refusal
    return _choose_small(
        facts,
        machine,
        "a small network, since no pretrained one can be had here",
        "no weights are on this machine, and none can be downloaded",
        [
            f"no pretrained weights ({'; '.join(refusals.values())}): a small network is trained "
            "from scratch, much worse with few images; with a file of weights, add "
            f"--model {LITE} --weights FILE"
        ],
    )


def explain_no_weights(name: str, *, briefly: bool = False) -> str | None:
    """Returns why the weights of a library's model cannot be used; None if they can.

    Args:
        name: The model.
        briefly: Whether to leave out where weights that are missing belong.

    Raises:
        ConfigError: The library has no such model.
    """
    from trainable.models.pretrained import check_connection, explain_no_download, library_of

    library = library_of(name)
    assert library is not None, "the caller has looked"
    try:
        library.resolve_name(name)
        if briefly:
            return explain_no_download(name)
        check_connection(ModelConfig(name=name, pretrained=True))
    except ConfigError as error:
        if error.problems[0].key != "model.pretrained":
            raise
        return error.problems[0].rule
    return None


def is_cached(name: str) -> bool:
    """Returns whether the weights of a library's model are on this machine."""
    from trainable.models.pretrained import library_of

    library = library_of(name)
    return library is not None and library.find_cached(name) is not None


def _with_weights(choice: ModelChoice) -> ModelChoice:
    where = "on this machine" if is_cached(choice.name) else "downloaded at the first start"
    why = f"its weights are {where}; with few images they matter more than all else"
    return replace(choice, pretrained=True, why_weights=why, weights_side=_find_side(choice.name))


def _find_side(name: str) -> int:
    from trainable.models.pretrained import library_of

    library = library_of(name)
    assert library is not None, "the caller has looked"
    return int(library.read_preprocessing(name).image_size)


def _has_fixed_size(name: str) -> bool:
    """Returns whether a model is built for one size of images, as vision transformers are."""
    if name.startswith(TIMM):
        from trainable.models.timm_models import read_settings

        return bool(read_settings(name).fixed_input_size)
    return split_name(name)[0].startswith(("vit_", "maxvit", "swin"))
