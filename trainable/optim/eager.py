"""Torch's optimizers without the import of its compiler."""

from __future__ import annotations

import inspect

import torch
from torch.optim import Optimizer

COMPILER_MARKS = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
"""Methods that torch marks as not to be compiled, and that import its compiler to do so."""


def without_compiler(kind: type[Optimizer]) -> type[Optimizer]:
    """Returns a subclass that does not import `torch._dynamo`, about two seconds per worker.

    Its methods are those of torch without the mark. Nothing here compiles an optimizer.

    Args:
        kind: A class of torch, e.g. `torch.optim.SGD`.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in COMPILER_MARKS}
    methods["step"] = torch.no_grad()(methods["step"])
    return type(kind.__name__, (kind,), methods)
