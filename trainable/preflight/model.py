"""Builds the user's own model and runs it once: what it returns must be logits."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainable.artifacts.saveable_state import find_unsaveable
from trainable.augment.streams import same_random_numbers
from trainable.config import TrainConfig, with_shape
from trainable.config.sections.model import is_library_model
from trainable.errors import ConfigError, Problem, TuneSweepsError, summarize_exception
from trainable.models import get_model
from trainable.models.pretrained import with_input_size
from trainable.preflight.shapes import DataShape, trains_on_one_image

IMAGES = 2
"""Images of the batch that the model is run on."""

LARGE_MODEL = 50_000_000
"""Parameters above which only shapes are computed. The meta device itself takes two seconds, in
which torch imports its symbolic shapes."""

MODEL = "model.name"

_NEEDS_GPU = re.compile(
    r"cuda|\bgpu\b|not implemented for|same device|on device|backend|triton|meta tensor"
    r"|not enough memory|can't allocate memory",
    re.IGNORECASE,
)
"""Texts of errors that say nothing about a training on a GPU."""


def check_model(config: TrainConfig, data: DataShape) -> list[Problem]:
    """Builds a model as a training does and runs it on two images in both modes.

    Of a large model and of one of a library only shapes are computed, where it permits that
    (torch's meta device). The process's random numbers are left as they were.

    Args:
        config: The config; its `model.name` may be code of the user's, which is run.
        data: The shape of its data.
    """
    config = with_shape(config, data.num_classes, data.image[0])
    config = with_input_size(config, data.image)
    with same_random_numbers():
        if _is_large(config) and not _run(config, data, device="meta"):
            return []
        return _run(config, data, device="cpu")


def _is_large(config: TrainConfig) -> bool:
    """Returns whether a model may be too large to be run on the CPU for a check."""
    if is_library_model(config.model.name):
        return True
    try:
        with torch.device("meta"):
            model = get_model(config, allow_custom=True)
        return sum(parameter.numel() for parameter in model.parameters()) > LARGE_MODEL
    except (Exception, SystemExit):  # noqa: BLE001 - reported where the model is run
        return False


def _run(config: TrainConfig, data: DataShape, *, device: str) -> list[Problem]:
    try:
        with torch.device(device) if device == "meta" else nullcontext():
            model = get_model(config, allow_custom=True).to(device)
            return [Problem(MODEL, rule) for rule in _check(model, config, data, device)]
    except ConfigError as error:
        return list(error.problems)
    except TuneSweepsError as error:
        return [Problem(MODEL, str(error).removeprefix(f"{MODEL} "))]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises
        if device == "cpu" and _NEEDS_GPU.search(str(error)):
            return []
        height, width = data.image[1:]
        rule = (
            f'"{config.model.name}" cannot be run on images [B, {data.image[0]}, {height}, '
            f"{width}]: {summarize_exception(error)}"
        )
        return [Problem(MODEL, rule)]


def _check(model: nn.Module, config: TrainConfig, data: DataShape, device: str) -> Iterator[str]:
    name = f'"{config.model.name}"'
    lazy = [type(module).__name__ for module in model.modules() if _is_lazy(module)]
    if lazy:
        yield (
            f"{name} has layers whose size is not known before the first batch "
            f"({', '.join(dict.fromkeys(lazy))}): give them their size, or run the model once in "
            "the function that builds it"
        )
        return
    if not any(parameter.requires_grad for parameter in model.parameters()):
        kind = "all of its parameters are frozen" if list(model.parameters()) else "it has none"
        yield f"{name} must have parameters that can be trained; {kind}"
        return
    if config.ema.enabled and (reason := _explain_uncopyable(model)) is not None:
        yield f"{name} cannot be copied, which ema.enabled needs: {reason}"
        return
    images = torch.zeros(IMAGES, *data.image, device=device)
    for mode, batch in (("evaluation", images), ("training", images)):
        model.train(mode == "training")
        rule = _check_output(model(batch), config.model.num_classes or data.num_classes)
        if rule is not None:
            yield f"{name} must return {rule} in {mode}"
            return
    unsaveable = find_unsaveable(model.state_dict(), has_run=True)
    if config.checkpoint.enabled and unsaveable is not None:
        yield f"{name} cannot be saved: {unsaveable}"
    if trains_on_one_image(config, data):
        yield from _check_single_image(model, images[:1], name)


def _explain_uncopyable(model: nn.Module) -> str | None:
    """Returns why a model cannot be copied; None if it can."""
    try:
        copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        return summarize_exception(error)
    return None


def _is_lazy(module: nn.Module) -> bool:
    return any(is_lazy(parameter) for parameter in module.parameters(recurse=False))


def _check_output(output: object, num_classes: int) -> str | None:
    """Returns what a model must return and what it returns instead; None if it is right."""
    wanted = f"logits [B, {num_classes}]"
    if not isinstance(output, Tensor):
        return f"{wanted}, found {_describe(output)}"
    shape = list(output.shape)
    if shape != [IMAGES, num_classes]:
        return f"{wanted}, found {shape} for {IMAGES} images"
    if not output.is_floating_point():
        return f"{wanted} of floating-point numbers, found {output.dtype}"
    if not output.requires_grad:
        return f"{wanted} that depend on its parameters, found a tensor without gradient"
    return None


def _describe(output: object) -> str:
    kind = type(output).__name__
    if isinstance(output, dict):
        return f"{kind} with the keys {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        return f"{kind} of {', '.join(_describe(item) for item in output)}"
    return f"{kind} {list(output.shape)}" if isinstance(output, Tensor) else kind


def _check_single_image(model: nn.Module, image: Tensor, name: str) -> Iterator[str]:
    """Yields why a batch of one image cannot be trained on, if it cannot."""
    try:
        model(image)
    except ValueError as error:
        yield f"{name} cannot train on a batch of one image: {error}; use a larger batch size"
