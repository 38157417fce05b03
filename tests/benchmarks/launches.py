"""How the steps of a benchmark's training are launched; each figure names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from trainable.training.gpu.cuda_graphs import RECORDED as IS_RECORDED
from trainable.training.trainer import Trainer

AMP_DTYPE = torch.bfloat16
"""Precision of every side on a GPU."""


@dataclass(frozen=True)
class Launch:
    """Settings of `training` that decide how a step reaches the GPU."""

    label: str
    cuda_graph: bool = False
    compile: bool = False

    def settings(self) -> dict[str, Any]:
        """Entries of the config's `training` section."""
        return {"cuda_graph": self.cuda_graph, "compile": self.compile}

    def check(self, trainer: Trainer) -> None:
        """Raises an error if a training was not launched in this way.

        Args:
            trainer: Has trained at least five full batches.
        """
        self.check_status(trainer.graph_status)
        if trainer.compiled is not None and trainer.compiled.failure is not None:
            raise RuntimeError(f"not compiled: {trainer.compiled.failure}")

    def check_status(self, graph_status: str) -> None:
        """Raises an error if steps should have been recorded and were not.

        Args:
            graph_status: `Trainer.graph_status`, or `cuda_graph` of an epoch's row.
        """
        if self.cuda_graph and graph_status != IS_RECORDED:
            raise RuntimeError(f"not recorded: {graph_status}")


EAGER = Launch("eager")
RECORDED = Launch("recorded", cuda_graph=True)
COMPILED = Launch("compiled and recorded", cuda_graph=True, compile=True)


def launches() -> list[Launch]:
    """The launches that are compared without a compiler: both on a GPU, eager on a CPU."""
    return [RECORDED, EAGER] if torch.cuda.is_available() else [EAGER]
