"""Divides a model's parameters into groups with learning rates and weight decay of their own.

The layout of the groups depends on the model alone: all parameters are in it, frozen ones too, in
one group for each (layer, classifier or not, decaying or not). A checkpoint therefore fits before
and after a part is unfrozen. Without a key that needs groups there is a single one.

The values of the groups are not part of a saved state: they are computed anew from the config
after every load, so that a PBT mutation or a change of the user's takes effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from trainable.config import OptimizerConfig
from trainable.models.heads import head_parameters

STRUCTURE = ("depth", "is_head", "decays")
"""Entries of a group that follow from the model: layers between it and the classifier, whether it
is the classifier, and whether weight decay is applied under `decay_norm_and_bias: false`."""

_CONTAINERS = nn.Sequential | nn.ModuleList | nn.ModuleDict

Groups = list[dict[str, Any]]


def needs_groups(config: OptimizerConfig) -> bool:
    """Returns whether parameters have learning rates or weight decay of their own."""
    return not (
        config.layer_decay == 1 and config.head_lr_factor == 1 and config.decay_norm_and_bias
    )


def build_groups(config: OptimizerConfig, model: nn.Module) -> Groups:
    """Returns the groups of an optimizer, as its constructor takes them.

    Args:
        config: The config's `optimizer` section.
        model: The model; its parameters stay as they are.
    """
    if not needs_groups(config):
        return [{"params": list(model.parameters())}]
    layers, heads = number_layers(model), head_parameters(model)
    last = max(layers.values())
    undecayed = _names_without_decay(model)
    members: dict[tuple[int, bool, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and name not in undecayed
        key = (last - layers[name], name in heads, decays)
        members.setdefault(key, []).append((name, parameter))
    return [
        {"params": pairs, **dict(zip(STRUCTURE, key, strict=True))}
        for key, pairs in sorted(members.items(), reverse=True)
    ]


def group_values(config: OptimizerConfig, group: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a group that follow from the config and its place in the model."""
    if "depth" not in group:
        return {}
    scale = config.layer_decay ** group["depth"]
    if group["is_head"]:
        scale *= config.head_lr_factor
    decays = config.decay_norm_and_bias or group["decays"]
    return {"lr_scale": scale, "weight_decay": config.weight_decay if decays else 0.0}


def number_layers(model: nn.Module) -> dict[str, int]:
    """Returns the layer of every parameter, counted from the input; the classifier's is the last.

    Models of timm number their layers themselves. Of other models a layer is a block: an entry of
    a `Sequential` or a list of modules, or another module; layers without matrices, such as
    normalisations, belong to the one before.
    """
    named = _number_as_timm(model, coarse=False)
    layers = named or {
        name: number for number, block in enumerate(_list_blocks(model)) for name in block.names
    }
    return _with_heads_last(model, layers)


def number_stages(model: nn.Module) -> dict[str, int]:
    """Returns the stage of every parameter, counted from the input; the classifier's is the last.

    Models of timm number their stages themselves. Of other models the first layer is a stage, and
    each layer that makes the images smaller begins another; where none does, each layer is one.
    """
    named = _number_as_timm(model, coarse=True)
    if named:
        return _with_heads_last(model, named)
    blocks = _list_blocks(model)
    begins = [block.reduces for block in blocks[1:]]
    if any(begins):
        begins[0] = True  # after the first layer
    else:
        begins = [True] * len(begins)
    stages = dict.fromkeys(blocks[0].names, 0)
    for number, block in enumerate(blocks[1:], start=1):
        stages |= dict.fromkeys(block.names, sum(begins[:number]))
    return _with_heads_last(model, stages)


def _number_as_timm(model: nn.Module, *, coarse: bool) -> dict[str, int]:
    matcher: Callable[..., Any] | None = getattr(model, "group_matcher", None)
    if not callable(matcher):
        return {}
    try:
        from timm.models import group_parameters
    except ImportError:
        return {}
    numbers: dict[str, int] = group_parameters(model, matcher(coarse=coarse), reverse=True)
    return numbers


def _with_heads_last(model: nn.Module, numbers: dict[str, int]) -> dict[str, int]:
    """Gives the classifier a number of its own after all others."""
    heads = head_parameters(model)
    names = [name for name, _ in model.named_parameters()]
    others = sorted({numbers[name] for name in names if name not in heads})
    renumbered = {number: place for place, number in enumerate(others)}
    return {name: len(others) if name in heads else renumbered[numbers[name]] for name in names}


@dataclass
class _Block:
    """A layer of a model that does not number its layers itself."""

    names: list[str]
    """Names of its parameters."""
    reduces: bool
    """Whether it makes the images smaller, or follows something without parameters that does."""


def _list_blocks(model: nn.Module) -> list[_Block]:
    """Lists the blocks of a model in the order of its modules."""
    blocks: list[_Block] = []
    placed: set[str] = set()
    early: list[str] = []  # of a module that holds blocks, before the first one
    parameters, is_smaller = dict(model.named_parameters()), False
    for prefix, module, is_whole in _walk("", model):
        owned = module.named_parameters(prefix, recurse=is_whole)
        names = [name for name, _ in owned if name in parameters and name not in placed]
        placed.update(names)
        is_smaller |= is_whole and any(_reduces(part) for part in module.modules())
        if not names:
            continue
        is_block = is_whole and any(parameters[name].ndim > 1 for name in names)
        if is_block or (is_whole and not blocks):
            blocks.append(_Block([*early, *names], is_smaller))
            early, is_smaller = [], False
        else:
            (blocks[-1].names if blocks else early).extend(names)
    return blocks or [_Block(early, reduces=False)]


def _walk(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yields the modules that own parameters: (name, module, whether it is a block as a whole)."""
    is_whole = bool(prefix) and not _is_opened(module)
    yield prefix, module, is_whole
    for name, child in () if is_whole else module.named_children():
        yield from _walk(f"{prefix}.{name}" if prefix else name, child)


def _reduces(module: nn.Module) -> bool:
    stride = getattr(module, "stride", 1)
    strides = stride if isinstance(stride, tuple | list) else (stride,)
    return any(isinstance(value, int) and value > 1 for value in strides)


def _is_opened(module: nn.Module) -> bool:
    """Returns whether a module is not a block itself, but its entries are.

    That is a container, and a module which holds a container of several blocks of one kind.
    """
    if isinstance(module, _CONTAINERS):
        return True
    for child in module.children():
        if isinstance(child, _CONTAINERS):
            kinds = [type(entry) for entry in child.children() if any(entry.children())]
            kinds = [kind for kind in kinds if not issubclass(kind, _CONTAINERS)]
            if len(kinds) > len(set(kinds)):
                return True
    return False


def _names_without_decay(model: nn.Module) -> set[str]:
    """Returns the names of parameters that a model of timm excludes from weight decay."""
    method: Any = getattr(model, "no_weight_decay", None)
    return set(method()) if callable(method) else set()
