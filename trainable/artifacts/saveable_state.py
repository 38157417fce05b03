"""Finds values that a checkpoint cannot hold, so that no `.pt` file is written that cannot be read.

`torch.save` writes any Python object. `torch.load(weights_only=True)` reads tensors, plain values
and plain containers of them. A custom model may return anything from `get_extra_state()` and may
register tensors of any subclass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin

from trainable.errors import ModelError

PLAIN_TYPES = frozenset(
    (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device)
)
"""Types that `torch.load(weights_only=True)` reads, besides tensors and containers."""
TENSOR_TYPES = (torch.Tensor, nn.Parameter)


def check_saveable(state: Mapping[str, Any], model: str, *, has_run: bool) -> None:
    """Checks that a checkpoint can hold the state of a custom model.

    Args:
        state: The model's `state_dict()`.
        model: The config's `model.name`, for the message.
        has_run: Whether the model has been trained on a batch. A lazy module has no weights
            before.

    Raises:
        ModelError: It cannot; the text names the first such key, its type and the remedy.
    """
    for key, item in state.items():
        for place, problem in _find_problems(item, key, has_run=has_run):
            raise ModelError(f'model.name "{model}": {place} of its state_dict() is {problem}')


def _find_problems(value: Any, place: str, *, has_run: bool) -> Iterator[tuple[str, str]]:
    """Yields the place of each value that cannot be saved, and what it is, with the remedy."""
    kind = type(value)
    if isinstance(value, UninitializedTensorMixin):
        if has_run:
            yield place, "a lazy parameter of a module that forward() never calls: remove it"
    elif isinstance(value, torch.Tensor):
        if kind not in TENSOR_TYPES:
            yield (
                place,
                (
                    f"a {_describe(kind)}, a subclass of torch.Tensor that torch.load refuses; "
                    "register a plain one: tensor.as_subclass(torch.Tensor)"
                ),
            )
    elif kind in (dict, OrderedDict):
        for key, item in value.items():
            yield from _find_problems(key, f"a key of {place}", has_run=has_run)
            yield from _find_problems(item, f"{place}[{key!r}]", has_run=has_run)
    elif kind in (list, tuple, set):
        for index, item in enumerate(value):
            yield from _find_problems(item, f"{place}[{index}]", has_run=has_run)
    elif kind not in PLAIN_TYPES:
        yield (
            place,
            (
                f"a {_describe(kind)}, which torch.load refuses; return a tensor, or a Python number, "
                "str, dict or list"
            ),
        )


def _describe(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
