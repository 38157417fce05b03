"""Which benchmarks there are, and in which size each profile measures them.

A benchmark's module is imported when it runs: E1 needs no Ray.
"""

from __future__ import annotations

import importlib
from typing import Any

from tests.benchmarks.sides import Figure


class Benchmark:
    """A function of a module of `tests.benchmarks` and its arguments.

    Args:
        module: Its last name.
        function: Returns a figure or several.
        arguments: Of the function.
    """

    def __init__(self, module: str, function: str, **arguments: Any) -> None:
        self.module = module
        self.function = function
        self.arguments = arguments

    def run(self) -> list[Figure]:
        """Measures it."""
        module = importlib.import_module(f"tests.benchmarks.{self.module}")
        figures = getattr(module, self.function)(**self.arguments)
        return figures if isinstance(figures, list) else [figures]


def _epochs(images: int, workers: int, rounds: int) -> dict[str, Benchmark]:
    """E1 to E3 on a GPU; those with a C compile the model, which takes about a minute."""
    plain = {"images": images, "workers": workers, "rounds": rounds}
    airbench = {
        "images": images,
        "goals": {"resnet20": ">= 2", "resnet18": ">= 1.1"},
        "rounds": rounds,
    }
    benchmarks = {}
    for suffix, compiled in (("", False), ("C", True)):
        e1, e2, e3 = f"E1{suffix}", f"E2{suffix}", f"E3{suffix}"
        benchmarks |= {
            e1: Benchmark(
                "epoch", "against_plain",
                name=e1, model="resnet20", goal=">= 8", compiled=compiled, **plain,
            ),
            e2: Benchmark(
                "epoch", "against_plain",
                name=e2, model="resnet18", goal=">= 3", compiled=compiled, **plain,
            ),
            e3: Benchmark("epoch", "against_airbench", name=e3, compiled=compiled, **airbench),
        }  # fmt: skip
    return benchmarks


def _packing(
    images: int, workers: int, counts: dict[str, list[int]], **effort: float
) -> dict[str, Benchmark]:
    """P1, P2 and P4 on a GPU."""
    common = {"images": images, **effort}
    return {
        "P1": Benchmark(
            "packing", "p1", model="resnet20", workers=workers, trials=16, goal=">= 15", **common
        ),
        "P2": Benchmark(
            "packing", "p2",
            counts=counts, goals={"resnet20": ">= 2.5", "resnet18": ">= 1.3"}, **common,
        ),
        "P4": Benchmark("packing", "p4", model="resnet20", trials=8, **common),
    }  # fmt: skip


_COMMON: dict[str, Benchmark] = {
    "A1": Benchmark("augmentation", "a1"),
    "E4": Benchmark("loader", "e4"),
    "D1": Benchmark("decoded", "d1"),
    "C1": Benchmark("checkpoints", "c1"),
    "C2": Benchmark("checkpoints", "c2"),
    "C3": Benchmark("checkpoints", "c3"),
    "T1": Benchmark("controller", "t1"),
    "T2": Benchmark("controller", "t2"),
    "T3": Benchmark("controller", "t3"),
    "T4": Benchmark("controller", "t4"),
    "R1": Benchmark("crashes", "r1"),
}


def _small(images: int, few_images: int, **effort: Any) -> dict[str, Benchmark]:
    """E1 to E3, P1, P2 and P4 on a CPU: what has a goal for a GPU only shows that it works."""
    return {
        "E1": Benchmark(
            "epoch", "against_plain",
            name="E1", model="resnet20", images=images, workers=0, goal=">= 1", **effort,
        ),
        "E2": Benchmark(
            "epoch", "against_plain",
            name="E2", model="resnet18", images=few_images, workers=0, goal="(GPU)", **effort,
        ),
        "E3": Benchmark(
            "epoch", "against_airbench",
            name="E3", images=images, goals={"resnet20": "(GPU)"}, **effort,
        ),
        "P1": Benchmark(
            "packing", "p1",
            model="resnet20", images=4 * few_images, workers=0, trials=2, goal="(GPU)", **effort,
        ),
        "P2": Benchmark(
            "packing", "p2",
            images=4 * few_images, counts={"resnet20": [2]}, goals={"resnet20": "(GPU)"}, **effort,
        ),
        "P4": Benchmark("packing", "p4", model="resnet20", images=512, trials=2),
    }  # fmt: skip


PROFILES: dict[str, dict[str, Benchmark]] = {
    "cpu": {
        **_small(1280, 128),
        "E5": Benchmark("epoch", "among_layouts", name="E5", model="resnet20", images=1280),
        **_COMMON,
    },
    # Whether everything runs, in a few minutes; its figures mean nothing.
    "rehearsal": {
        **_small(64, 16, rounds=1),
        "A1": Benchmark("augmentation", "a1", sizes=(16,), images=32, rounds=1),
        "D1": Benchmark("decoded", "d1", images=300, side=20, size=16, rounds=1),
        "C2": Benchmark("checkpoints", "c2", rounds=1),
        "C3": Benchmark("checkpoints", "c3", images=16, saves=1, rounds=1),
    },
    # What a GPU is needed for, in a quarter of an hour.
    "gpu-quick": {
        **_epochs(25_600, 8, rounds=3),
        **_packing(12_800, 8, {"resnet20": [8], "resnet18": [4]}, rounds=1, seconds=2.0),
        "C2": Benchmark("checkpoints", "c2"),
        "C3": Benchmark("checkpoints", "c3", rounds=3),
    },
    "gpu": {
        **_epochs(50_000, 8, rounds=5),
        **_packing(50_000, 8, {"resnet20": [2, 4, 8, 16], "resnet18": [2, 4]}),
        **_COMMON,
    },
}
