"""Freezes parts of a model: they get no gradients and run as in evaluation.

With `model.batch_norm: eval` the BatchNorm layers of the other parts run as in evaluation too.

What is frozen is a function of the epoch's number and is set at the start of every epoch, so that
a training which continues needs nothing from its checkpoint. The modules stay the same, and with
them the keys of the model's state.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainable.config import ModelConfig
from trainable.config.sections.model import FrozenStages
from trainable.errors import ConfigError, Problem
from trainable.models.heads import head_parameters
from trainable.optim.parameter_groups import number_stages


class FrozenParts:
    """The parts of a model that are not trained.

    Parameters that do not require gradients to begin with stay so.

    Args:
        model: The model.
        config: The config's `model` section.

    Raises:
        ConfigError: The model has fewer stages, or nothing would be trained.
    """

    def __init__(self, model: nn.Module, config: ModelConfig) -> None:
        self.names = frozen_parameters(model, config)
        """Names of the frozen parameters."""
        self._parameters = [
            (name in self.names, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        if self.names and all(is_frozen for is_frozen, _ in self._parameters):
            rule = "leaves nothing to train: the classifier's parameters require no gradients"
            raise ConfigError("config", [Problem("model.freeze", rule)])
        self._modules = _frozen_modules(model, self.names) if self.names else []
        self._norms = batch_norms(model) if config.batch_norm == "eval" else []
        self._unfreeze_epoch = config.unfreeze_epoch
        self.is_active = False
        """Whether the parts are frozen in the present epoch."""

    def start_epoch(self, epoch: int) -> bool:
        """Freezes the parts, or trains them from now on.

        Args:
            epoch: Number of the epoch, from 1.

        Returns:
            Whether something has changed.
        """
        first = self._unfreeze_epoch
        is_active = bool(self.names) and (first is None or epoch < first)
        has_changed = is_active != self.is_active
        self.is_active = is_active
        if has_changed:
            for is_frozen, parameter in self._parameters:
                parameter.requires_grad_(not (is_frozen and is_active))
                if is_frozen and is_active:
                    parameter.grad = None
        return has_changed

    def keep_in_evaluation(self) -> None:
        """Puts modules that are not to run as in training into evaluation mode.

        Called after `model.train()`.
        """
        frozen = self._modules if self.is_active else []
        for module in (*frozen, *self._norms):
            module.training = False


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Returns the BatchNorm layers of a model that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]


def frozen_parameters(model: nn.Module, config: ModelConfig) -> frozenset[str]:
    """Returns the names of the parameters that `model.freeze` freezes; never the classifier's.

    Raises:
        ConfigError: The model has fewer stages.
    """
    if config.freeze == "none":
        return frozenset()
    if not isinstance(config.freeze, FrozenStages):
        names = (name for name, _ in model.named_parameters())
        return frozenset(names) - head_parameters(model)
    numbers = number_stages(model)
    count, given = max(numbers.values()), config.freeze.stages
    if given > count:
        rule = f"must be at most {count} for {config.name}, found {given}"
        raise ConfigError("config", [Problem("model.freeze.stages", rule)])
    return frozenset(name for name, number in numbers.items() if number < given)


def _frozen_modules(model: nn.Module, frozen: frozenset[str]) -> list[nn.Module]:
    """Lists the modules whose whole content is frozen, with all modules in them.

    A module without parameters but with buffers is frozen if the one before it is.
    """
    modules: list[nn.Module] = []
    was_frozen = True
    for prefix, module in model.named_modules():
        owned = [
            f"{prefix}.{name}" if prefix else name
            for name, _ in module.named_parameters(recurse=True)
        ]
        if owned and all(name in frozen for name in owned):
            modules += module.modules()
            was_frozen = True
        elif any(True for _ in module.parameters(recurse=False)):
            was_frozen = False
        elif not owned and was_frozen and any(True for _ in module.buffers()):
            modules.append(module)
    return modules
