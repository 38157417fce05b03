"""Operations that read values of a tensor on the host, which therefore waits for the GPU."""

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
    """Runs an operation and drops its result."""
    read(values)
