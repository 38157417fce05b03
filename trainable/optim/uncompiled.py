"""Torch's optimizers without its compiler, which they load at their first step: two seconds.

That is as long as all the rest of a worker's start takes. The compiler is only told where not to
look; nothing here compiles an optimizer. What each step computes is torch's own code.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import Optimizer


def uncompiled(kind: type[Optimizer]) -> type[Optimizer]:
    """A class of torch's whose step and bookkeeping load no compiler.

    Args:
        kind: E.g. `torch.optim.SGD`.
    """
    step = inspect.unwrap(kind.step)

    class Uncompiled(kind):  # type: ignore[misc,valid-type]
        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            return step(self, closure)

    for method in vars(Optimizer).values():
        marked = getattr(method, "__wrapped__", None)
        if marked is not None and not hasattr(marked, "__dynamo_disable"):
            # As `torch._compile` leaves it; else it loads the compiler in order to mark it.
            setattr(marked, "__dynamo_disable", marked)
    Uncompiled.__name__ = Uncompiled.__qualname__ = kind.__name__
    return Uncompiled
