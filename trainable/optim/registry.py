"""Finds optimizers of torch and timm by name, and checks the arguments that a config has for them.

There is no list of names: those of torch are its classes in lower case, those of timm are timm's
own. timm is imported only for a name that torch does not have.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

from trainable.config import OptimizerConfig
from trainable.config.names import suggestion
from trainable.config.sections.optimizer import REFUSED, BaseOptimizer, OtherOptimizer
from trainable.errors import ConfigError, Problem, summarize_exception
from trainable.optim.eager import without_compiler

TIMM = "timm/"
"""Prefix of a name that means timm's optimizer where torch has one of the same name."""
FIXED = ("sgd", "adam", "adamw")
"""Names with a section of their own in the config."""
_TIMM_IS_BETTER = {"muon"}
"""Names of torch that mean timm's optimizer: torch's Muon takes no convolutions."""
_IMPLEMENTATION = {
    "capturable", "differentiable", "foreach", "fused", "maximize", "params", "verbose",
}  # fmt: skip
"""Arguments that are not the user's: they select an implementation, or would maximise the loss."""
_KEYS = {"lr": "optimizer.learning_rate", "weight_decay": "optimizer.weight_decay"}
"""Argument -> the key of the config that sets it."""
TIMM_MOMENTUM = 0.9
"""Momentum that timm's own factory gives to all optimizers which have one."""


@dataclass(frozen=True)
class OptimizerClass:
    """An optimizer's class and the arguments that its name stands for."""

    kind: type[Optimizer]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The constructor's parameters by name."""
        return inspect.signature(self.kind).parameters

    @property
    def names(self) -> list[str]:
        """The arguments that `optimizer.args` may have."""
        return sorted(self.parameters.keys() - _IMPLEMENTATION - _KEYS.keys())


@cache
def find_class(name: str) -> OptimizerClass:
    """Returns the class of an optimizer.

    Args:
        name: The config's `optimizer.name`.

    Raises:
        ConfigError: Neither torch nor timm has it, or timm is not installed.
    """
    classes = _torch_classes()
    if name in classes:
        return OptimizerClass(without_compiler(classes[name]))
    return _find_in_timm(name.removeprefix(TIMM), classes)


def constructor_arguments(config: OptimizerConfig) -> dict[str, Any]:
    """Returns the arguments of an optimizer's class other than parameters and learning rate."""
    entry = find_class(config.name)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in config.args.items()}
    own = config.model_dump(exclude={*BaseOptimizer.model_fields})
    decay = {"weight_decay": config.weight_decay} if "weight_decay" in entry.parameters else {}
    return {**entry.defaults, **decay, **own, **given}


def check_optimizer(config: OptimizerConfig) -> list[Problem]:
    """Returns what is wrong with the name and the arguments of an optimizer.

    It is built over two small parameters, whose training would fail in the same way.
    """
    if config.name in FIXED and not config.args:
        return []
    try:
        entry = find_class(config.name)
    except ConfigError as error:
        return list(error.problems)
    problems = [
        Problem(f"optimizer.args.{key}", rule)
        for key in config.args
        if (rule := _explain_argument(key, config, entry)) is not None
    ]
    if config.weight_decay and "weight_decay" not in entry.parameters:
        rule = f"must be 0 for {config.name}, which has none, found {config.weight_decay:g}"
        problems.append(Problem("optimizer.weight_decay", rule))
    return problems or _try_to_build(config, entry)


def _explain_argument(key: str, config: OptimizerConfig, entry: OptimizerClass) -> str | None:
    if key in _KEYS:
        return f"is set by {_KEYS[key]}"
    if key in type(config).model_fields:
        return f"is set by optimizer.{key}"
    if key in _IMPLEMENTATION:
        return "is chosen by the training"
    if key in entry.names:
        return None
    return f"unknown argument of {config.name}{suggestion(key, entry.names)}"


def _try_to_build(config: OptimizerConfig, entry: OptimizerClass) -> list[Problem]:
    weights = [torch.nn.Parameter(torch.zeros(4, 3, 3, 3)), torch.nn.Parameter(torch.zeros(4))]
    kind: Any = entry.kind
    try:
        kind(weights, lr=config.learning_rate, **constructor_arguments(config))
    except Exception as error:  # noqa: BLE001 - whatever a library's constructor raises
        rule = f"{config.name} refuses its arguments: {summarize_exception(error)}"
        return [Problem("optimizer.args", rule)]
    return []


def _torch_classes() -> dict[str, type[Optimizer]]:
    """Returns torch's optimizers by their names in lower case, without those that are refused."""
    classes = {
        kind.__name__.lower(): kind
        for kind in vars(torch.optim).values()
        if inspect.isclass(kind) and issubclass(kind, Optimizer) and kind is not Optimizer
    }
    return {
        name: kind
        for name, kind in classes.items()
        if name not in REFUSED and name not in _TIMM_IS_BETTER
    }


def _find_in_timm(name: str, classes: Mapping[str, type[Optimizer]]) -> OptimizerClass:
    try:
        import timm.optim
    except ImportError as error:
        near = suggestion(name, classes)
        rule = (
            f'torch has no optimizer "{name}"{near}; those of timm need it installed: '
            'pip install "tune-sweeps[timm]"'
        )
        raise ConfigError("config", [Problem("optimizer.name", rule)]) from error
    library: Any = timm.optim  # its names are not marked as exported
    names = library.list_optimizers()
    if name not in names:
        hint = suggestion(name, {*names, *classes} - REFUSED.keys())
        rule = f'neither torch nor timm has an optimizer "{name}"{hint}'
        raise ConfigError("config", [Problem("optimizer.name", rule)])
    info = library.get_optimizer_info(name)
    if isinstance(info.opt_class, str):
        rule = (
            f'cannot be "{name}": it needs {info.opt_class.partition(".")[0]} and a GPU, and has '
            "not been tried"
        )
        raise ConfigError("config", [Problem("optimizer.name", rule)])
    momentum = {"momentum": TIMM_MOMENTUM} if info.has_momentum else {}
    defaults = {**momentum, **(info.defaults or {})}
    return OptimizerClass(without_compiler(info.opt_class), defaults)


def is_fixed(config: OptimizerConfig) -> bool:
    """Returns whether an optimizer has a section of its own in the config."""
    return not isinstance(config, OtherOptimizer)
