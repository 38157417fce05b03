"""Operations after which the host needs the values of a tensor, so that it waits for the GPU."""

from collections.abc import Callable

import torch
from torch import Tensor

READS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda values: values.sum().item(),
    "branch": lambda values: bool((values > 0).any()),
    "nonzero": lambda values: values.nonzero(),
    "mask": lambda values: values[values > 0],
    "select": lambda values: values.masked_select(values > 0),
    "equal": lambda values: torch.equal(values, values.clone()),
    "unique": lambda values: values.unique(),
}


def do(read: Callable[[Tensor], object], values: Tensor) -> None:
    """Drops the result."""
    read(values)
