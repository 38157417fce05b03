"""Checks whether a custom model can be recorded: a replay must do what the step does.

A recording repeats what the model did in Python when it was recorded. These checks refuse models
that draw random numbers on the CPU, replace the tensors of their weights, or compute other results
in a replay. They cannot detect a decision that depends on a counter and changes only later; for
such a model leave `training.cuda_graph` at `auto`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HALF_TOLERANCE, SINGLE_TOLERANCE = 1e-2, 1e-4
"""Largest relative difference between the changes that a replay and the step make."""


class ReplayChecks:
    """Compares a model before and after steps.

    Args:
        model: The model on its device.
        optimizer: The optimizer of the model's parameters.
        scaler: The loss scaler.
        in_half: Whether the forward pass runs in half precision.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        *,
        in_half: bool,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._scaler = scaler
        self._device = next(model.parameters()).device
        self._tolerance = HALF_TOLERANCE if in_half else SINGLE_TOLERANCE

    def find_decision(self, work: Callable[[], None]) -> str | None:
        """Does a step and returns what in it a recording could not repeat, or None."""
        addresses, random_state = self._list_addresses(), self._read_cpu_random_state()
        work()
        if self._list_addresses() != addresses:
            return "the model puts other tensors in the place of its weights or buffers"
        if not _is_equal(self._read_cpu_random_state(), random_state):
            return "the step draws random numbers on the CPU"
        return None

    def agree(
        self, replay: Callable[[], None], step: Callable[[], None], sums: list[Tensor]
    ) -> bool:
        """Runs one batch twice, as a replay and then as the step, and keeps the step's results.

        Args:
            replay: Replays the step.
            step: Runs the step kernel by kernel.
            sums: The sums of the pass, which the step changes as well.

        Returns:
            Whether both changed the state in the same way.
        """
        groups = [*self._list_state(), sums]
        before = [[tensor.detach().clone() for tensor in group] for group in groups]
        scaler, random_state = self._scaler.state_dict(), self._read_generator_state()
        replay()
        replayed = _compute_changes(groups, before)
        for tensor, value in zip(itertools.chain(*groups), itertools.chain(*before), strict=True):
            tensor.detach().copy_(value)
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(scaler)
        self._set_generator_state(random_state)
        step()
        return all(
            self._is_close(*vectors)
            for vectors in zip(
                replayed, _compute_changes(groups, before), _flatten_groups(before), strict=True
            )
        )

    def _is_close(self, replayed: Tensor, change: Tensor, before: Tensor) -> bool:
        """Compares the changes of a group of tensors, given as vectors in double precision."""
        rounding = 8 * torch.finfo(torch.float32).eps * before.norm()
        return bool((replayed - change).norm() <= self._tolerance * change.norm() + rounding)

    def _list_state(self) -> list[list[Tensor]]:
        """Returns everything that a step changes: weights, buffers and optimizer state."""
        optimizer = [
            value
            for values in self._optimizer.state.values()
            for value in values.values()
            if isinstance(value, Tensor)
        ]
        return [list(self._model.parameters()), list(self._model.buffers()), optimizer]

    def _list_addresses(self) -> list[tuple[int, int]]:
        tensors: Iterable[Tensor] = [*self._model.parameters(), *self._model.buffers()]
        return [(id(tensor), tensor.data_ptr()) for tensor in tensors]

    def _read_cpu_random_state(self) -> list[Any]:
        """Returns the state of every generator that a replay does not advance."""
        state: list[Any] = [random.getstate(), np.random.get_state()]
        if self._device.type != "cpu":
            state.append(torch.get_rng_state())
        return state

    def _read_generator_state(self) -> Tensor:
        if self._device.type == "cuda":
            return torch.cuda.get_rng_state(self._device)
        return torch.get_rng_state()

    def _set_generator_state(self, state: Tensor) -> None:
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state, self._device)
        else:
            torch.set_rng_state(state)


def _flatten_groups(groups: list[list[Tensor]]) -> list[Tensor]:
    """Flattens each group of tensors; values that are not finite count as zero."""
    vectors = []
    for group in groups:
        parts = [tensor.detach().double().cpu().flatten() for tensor in group]
        vectors.append(torch.cat([torch.zeros(1), *parts]).nan_to_num(0.0, 0.0, 0.0))
    return vectors


def _compute_changes(groups: list[list[Tensor]], before: list[list[Tensor]]) -> list[Tensor]:
    changes = [
        [tensor.detach() - value for tensor, value in zip(*pair, strict=True)]
        for pair in zip(groups, before, strict=True)
    ]
    return _flatten_groups(changes)


def _is_equal(left: Any, right: Any) -> bool:
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_is_equal, left, right))
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    return bool(np.array_equal(left, right))
