"""Random numbers: every epoch has its own stream, a function of the training's seed and the epoch.

No epoch depends on the state that earlier work left in a global generator. A resumed training, one
in a reused worker and an uninterrupted one therefore draw the same numbers, and no generator's
state is stored. `RngState` keeps the numbers of trainings apart that alternate in one process.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.random import mtrand

from trainable.config import TrainConfig
from trainable.models import MODELS


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_determinism(enabled: bool) -> None:
    """Switches the process between deterministic and fast algorithms, both ways."""
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if enabled != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.deterministic = enabled
    torch.backends.cudnn.benchmark = not enabled


def draws_globally(config: TrainConfig) -> bool:
    """Returns whether a training may draw from the global generators once it has been built.

    Built-in models draw only their initial weights. Data sets use generators of their own. The
    transforms of `image_folder` use torch's global generator, but restore its state after every
    image. Losses and metrics of the user's own may draw.
    """
    return config.model.name not in MODELS or bool(config.own_code)


class CpuRngState:
    """State of the CPU's global generators (Python, NumPy, torch) of one training.

    Inside `with`, the generators continue where this training left them. Work outside does not
    change this state.
    """

    def __init__(self) -> None:
        self._python: tuple[Any, ...] | None = None
        self._torch: torch.Tensor | None = None
        self._numpy: np.random.BitGenerator = np.random.MT19937(0)
        self._numpy_normal: dict[str, Any] | None = None
        self._outside: Any = None

    def __enter__(self) -> None:
        self._outside = mtrand.get_bit_generator()
        self.resume()

    def resume(self) -> None:
        """Makes the generators continue where this training left them, for good."""
        mtrand.set_bit_generator(self._numpy)
        if self._numpy_normal is not None:
            np.random.set_state(self._numpy_normal)
        if self._python is not None and self._torch is not None:
            random.setstate(self._python)
            torch.default_generator.set_state(self._torch)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._python = random.getstate()
        self._torch = torch.default_generator.get_state()
        self._numpy = mtrand.get_bit_generator()
        # NumPy draws normal numbers in pairs; the swap would lose the second one of a pair.
        state = np.random.get_state(legacy=False)
        self._numpy_normal = state if state["has_gauss"] else None
        mtrand.set_bit_generator(self._outside)


class CudaRngState:
    """State of the default CUDA generators of one training, the same object for its whole life.

    A CUDA graph reads the state that was current when it was recorded, so a training must keep
    the same state object from its first batch to its last. Inside `with`, that object is swapped
    in, which copies nothing. Does nothing while CUDA is not initialized, and never initializes it.
    """

    def __init__(self) -> None:
        self._own: list[torch.Generator] = []
        self._outside: list[torch.Generator] = []

    def __enter__(self) -> None:
        generators = torch.cuda.default_generators  # none before CUDA is initialized
        if not self._own:
            self._own = [generator.clone_state() for generator in generators]
        self._outside = _swap(generators, self._own)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        generators = torch.cuda.default_generators
        if not self._own:
            # The training itself has initialized CUDA and keeps the state that it has used.
            self._outside = [generator.clone_state() for generator in generators]
            self._own = _swap(generators, self._outside)
        else:
            _swap(generators, self._outside)


class RngState:
    """Random state of one of several trainings that alternate in a process.

    Inside `with`, the global generators continue where this training left them. Afterwards the
    CUDA and NumPy generators are the process's own again. The switch of `set_determinism` and the
    number of CPU threads are restored as well.

    Args:
        draws: Whether the training may draw from the global generators (`draws_globally`). If
            not, only the switch and the threads are saved and restored.
    """

    def __init__(self, *, draws: bool) -> None:
        self._deterministic: bool | None = None
        self._threads: int | None = None
        self._cpu = CpuRngState() if draws else None
        self._cuda = CudaRngState() if draws else None

    def __enter__(self) -> None:
        if self._deterministic not in (None, torch.are_deterministic_algorithms_enabled()):
            set_determinism(bool(self._deterministic))
        if self._threads not in (None, torch.get_num_threads()):
            torch.set_num_threads(int(self._threads or 1))
        if self._cpu is not None and self._cuda is not None:
            self._cpu.__enter__()
            self._cuda.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deterministic = torch.are_deterministic_algorithms_enabled()
        self._threads = torch.get_num_threads()
        if self._cpu is not None and self._cuda is not None:
            self._cuda.__exit__(kind, error, trace)
            self._cpu.__exit__(kind, error, trace)


def _swap(
    generators: Sequence[torch.Generator], states: Sequence[torch.Generator]
) -> list[torch.Generator]:
    """Swaps states into the generators; returns the states that they had."""
    before = [generator.graphsafe_get_state() for generator in generators]
    for generator, state in zip(generators, states, strict=True):
        generator.graphsafe_set_state(state)
    return before
