"""Finds the classifier of a model: the layers that are new where the classes are other ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from trainable.errors import TuneSweepsError


def head_modules(model: nn.Module) -> tuple[str, ...]:
    """Returns the names of a model's classifier modules, in the order of its modules.

    A model of timm names them itself. A model of the user's may have timm's method
    `get_classifier()`, which returns a module or several. Of any other model it is the last module
    with a matrix of weights, a linear layer or a convolution, and the auxiliary classifiers of
    torchvision's GoogLeNet and Inception. The input of a classifier are the model's features.

    Args:
        model: A classifier of any source, on any device.

    Returns:
        Names as in `model.named_modules()`; two or more where the logits are a mean of several
        classifiers.

    Raises:
        TuneSweepsError: The model has no such layer.
    """
    names = _named_by_timm(model) or _named_by_method(model) or _last_layers(model)
    if not names:
        raise TuneSweepsError(
            f"{type(model).__name__} has no classifier: no linear layer and no convolution; give "
            "it a method get_classifier() that returns the module"
        )
    return names


def head_parameters(model: nn.Module) -> frozenset[str]:
    """Returns the names of the parameters of a model's classifier modules."""
    modules = dict(model.named_modules())
    return frozenset(
        f"{head}.{name}"
        for head in head_modules(model)
        for name, _ in modules[head].named_parameters()
    )


def _named_by_timm(model: nn.Module) -> tuple[str, ...]:
    settings = getattr(model, "pretrained_cfg", None)
    classifier = settings.get("classifier") if isinstance(settings, Mapping) else None
    named = {classifier} if isinstance(classifier, str) else set(classifier or ())
    return tuple(
        name for name, module in model.named_modules() if name in named and _has_weights(module)
    )


def _named_by_method(model: nn.Module) -> tuple[str, ...]:
    method = getattr(model, "get_classifier", None)
    if not callable(method):
        return ()
    classifier = method()
    heads = classifier if isinstance(classifier, list | tuple) else (classifier,)
    return tuple(
        name
        for name, module in model.named_modules()
        if any(module is head for head in heads) and _has_weights(module)
    )


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _last_layers(model: nn.Module) -> tuple[str, ...]:
    outputs = {
        name: parameter.shape[0]
        for name, module in model.named_modules()
        for parameter in module.parameters(recurse=False)
        if parameter.dim() > 1
    }
    if not outputs:
        return ()
    last = [*outputs][-1]
    auxiliary = (name for name in outputs if name.lower().startswith("aux") and name != last)
    return (*(name for name in auxiliary if outputs[name] == outputs[last]), last)
