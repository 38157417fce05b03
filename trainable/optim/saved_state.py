"""Loads saved states of optimizers: of another layout, machine, memory format or release."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from trainable.errors import CheckpointError
from trainable.optim.parameter_groups import STRUCTURE

IMPLEMENTATION = ("capturable", "foreach", "fused")
"""Group entries that select an implementation and do not change what a step computes."""
NAME = "optimizer"
"""Group entry with the optimizer's name, of those that cannot be told by their entries."""
_OWN = (*STRUCTURE, "lr_scale", "param_names", NAME)
"""Group entries that are this training's and not the state's."""

State = dict[str, Any]


def adapt_state(optimizer: Optimizer, state: State, name: str, names: Sequence[str]) -> State:
    """Checks a state before it is loaded, and brings it into the optimizer's own layout.

    The optimizer's own implementation is kept. torch would take over the saved one, and a training
    that moves between CPU and GPU would step differently.

    Args:
        optimizer: The optimizer that will load it.
        state: The state; it is not changed.
        name: The optimizer's name in the config.
        names: The names of the model's parameters in their order; empty if they are not known.

    Raises:
        CheckpointError: The state belongs to another optimizer or other parameters.
    """
    saved_groups = state["param_groups"]
    for saved in saved_groups:
        candidates = _infer_names(saved)
        if name not in candidates:
            raise CheckpointError(wrong_optimizer_message(name, candidates))
    expected = sum(len(group["params"]) for group in optimizer.param_groups)
    actual = sum(len(saved["params"]) for saved in saved_groups)
    if expected != actual:
        raise CheckpointError(
            f"the optimizer state must be of {expected} parameters, found {actual}"
        )
    own, saved_names = _list_names(optimizer.param_groups, names), _list_names(saved_groups, names)
    if own != saved_names:
        state = _rearrange(state, own, saved_names)
    pairs = zip(optimizer.param_groups, state["param_groups"], strict=True)
    return {**state, "param_groups": [_keep_own(group, saved) for group, saved in pairs]}


def _list_names(groups: Sequence[State], names: Sequence[str]) -> list[list[str]]:
    """Returns the names of the parameters of each group; positions where they are not known."""
    count = sum(len(group["params"]) for group in groups)
    in_order = iter(names if len(names) == count else map(str, range(count)))
    return [
        list(group.get("param_names") or (next(in_order) for _ in group["params"]))
        for group in groups
    ]


def _rearrange(state: State, own: list[list[str]], saved: list[list[str]]) -> State:
    """Divides the parameters of a state into other groups."""
    origins = {
        name: (group, group["params"][place])
        for group, names in zip(state["param_groups"], saved, strict=True)
        for place, name in enumerate(names)
    }
    missing = [name for names in own for name in names if name not in origins]
    if missing:
        raise CheckpointError(
            f"the optimizer state must have the parameter {missing[0]}, found "
            f"{next(iter(origins))}"
        )
    numbers = {name: n for n, name in enumerate(name for names in own for name in names)}
    entries = {
        number: state["state"][origins[name][1]]
        for name, number in numbers.items()
        if origins[name][1] in state["state"]
    }
    groups = []
    for names in own:
        # A copy for each: a step may count in place.
        values = copy.deepcopy({k: v for k, v in origins[names[0]][0].items() if k != "params"})
        groups.append({**values, "params": [numbers[name] for name in names]})
    return {**state, "state": entries, "param_groups": groups}


def _keep_own(group: State, saved: State) -> State:
    kept = {key: group[key] for key in (*IMPLEMENTATION, *_OWN) if key in group}
    return {**{key: value for key, value in saved.items() if key not in _OWN}, **kept}


def match_memory_format(optimizer: Optimizer, *, is_shaped: bool) -> None:
    """Gives loaded buffers their parameters' strides.

    The fused CPU kernels read both in memory order and do not check that it is the same. They
    would apply a contiguous momentum to the wrong elements of a channels_last weight.

    Args:
        optimizer: The optimizer, after a load.
        is_shaped: Whether all of its buffers must have their parameter's shape.

    Raises:
        CheckpointError: A buffer has another shape.
    """
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if key == "step" or not isinstance(value, torch.Tensor):
                continue
            if value.shape != parameter.shape:
                if is_shaped:
                    raise CheckpointError(
                        f"the optimizer state's {key} must have its parameter's shape "
                        f"{list(parameter.shape)}, found {list(value.shape)}"
                    )
            elif value.stride() != parameter.stride():
                buffer = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
                state[key] = buffer.copy_(value)


def _infer_names(group: State) -> list[str]:
    """Returns the names of the optimizers that a saved parameter group can belong to."""
    if NAME in group:
        return [group[NAME]]
    if "momentum" in group:
        return ["sgd"]
    if "betas" not in group:
        return ["unknown"]
    # Releases of torch in which AdamW does not derive from Adam have no such entry.
    decoupled = group.get("decoupled_weight_decay")
    if decoupled is None:
        return ["adam", "adamw"]
    return ["adamw"] if decoupled else ["adam"]


def wrong_optimizer_message(expected: str, actual: Sequence[str]) -> str:
    """Returns the message for a state of another optimizer than the config's."""
    return (
        f"the optimizer state must be of optimizer.name: {expected}, found {' or '.join(actual)}; "
        "start without the checkpoint, or keep the optimizer it was saved with"
    )
