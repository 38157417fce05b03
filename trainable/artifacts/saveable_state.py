"""Finds values that a checkpoint cannot hold, so that every `.pt` file can be read.

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
from torch.nn.parameter import is_lazy

PLAIN_TYPES = frozenset(
    (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device)
)
"""Types that `torch.load(weights_only=True)` reads, besides tensors and containers."""
TENSOR_TYPES = (torch.Tensor, nn.Parameter)


def find_unsaveable(state: Mapping[str, Any], *, has_run: bool) -> str | None:
    """Returns why no checkpoint can hold the state of a model; None if one can.

    Args:
        state: The model's `state_dict()`.
        has_run: Whether the model has been run on a batch. A lazy module has no weights before.

    Returns:
        The first key that cannot be saved, with its type and the remedy.
    """
    problems = (
        f"{place} of its state_dict() is {problem}"
        for key, item in state.items()
        for place, problem in _find_problems(item, key, has_run=has_run)
    )
    return next(problems, None)


def _find_problems(value: Any, place: str, *, has_run: bool) -> Iterator[tuple[str, str]]:
    """Yields (place, what is there and the remedy) for each value that cannot be saved."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = f"{module}{kind.__qualname__}"
    if is_lazy(value):
        if has_run:
            yield place, "a parameter of a lazy module that was never run; remove the module"
    elif isinstance(value, torch.Tensor):
        if kind not in TENSOR_TYPES:
            remedy = "register a plain tensor: tensor.as_subclass(torch.Tensor)"
            yield place, f"a {name}, which torch.load refuses; {remedy}"
    elif kind in (dict, OrderedDict):
        for key, item in value.items():
            yield from _find_problems(key, f"a key of {place}", has_run=has_run)
            yield from _find_problems(item, f"{place}[{key!r}]", has_run=has_run)
    elif kind in (list, tuple, set):
        for index, item in enumerate(value):
            yield from _find_problems(item, f"{place}[{index}]", has_run=has_run)
    elif kind not in PLAIN_TYPES:
        remedy = "return a tensor, or a Python number, str, dict or list"
        yield place, f"a {name}, which torch.load refuses; {remedy}"
