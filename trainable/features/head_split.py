"""Splits a model into a backbone and a classifier that needs nothing but its features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from trainable.augment.streams import same_random_numbers
from trainable.models.heads import head_modules

PROBE_IMAGES = 2
PROBE_SEED = 0
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-5
"""Logits of the classifier on the features that differ by more are not those of the model."""


class CannotSplitError(Exception):
    """The logits of a model are not a function of its classifier's input alone."""


class HeadSplit:
    """A model as a backbone and a classifier: `model(images)` is `head(features(images))`.

    Args:
        model: A model whose backbone is frozen and whose modules are in the mode of a training.
        shape: Channels, height and width of its images.
        autocast: Context of a forward pass.

    Raises:
        CannotSplitError: There are several classifiers, something is computed behind it, or its
            input in training is another than in evaluation, for example because of dropout.
    """

    def __init__(
        self,
        model: nn.Module,
        shape: tuple[int, int, int],
        autocast: AbstractContextManager[object],
    ) -> None:
        names = head_modules(model)
        if len(names) != 1:
            raise CannotSplitError(f"the model has {len(names)} classifiers: {', '.join(names)}")
        self.name = names[0]
        self.model = model
        self._autocast = autocast
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(PROBE_SEED)
        images = torch.randn((PROBE_IMAGES, *shape), generator=generator).to(device)
        self.probe = self._check(images.to(memory_format=torch.channels_last))
        """Summary of the features of fixed random images: other code has other features."""

    def head_of(self, model: nn.Module) -> nn.Module:
        """Returns the classifier of this model or of a copy of it."""
        return model.get_submodule(self.name)

    def is_of_head(self, name: str) -> bool:
        """Returns whether a tensor of the model's state dict belongs to the classifier."""
        return name.startswith(f"{self.name}.")

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Returns the input of the classifier `[B, ...]`, in evaluation mode.

        Args:
            images: `[B, C, H, W]`, normalised, on the device of the model.
        """
        with same_random_numbers(on_gpus=True), _modes_kept(self.model):
            self.model.eval()
            return self._run(images)[0]

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the input of the classifier, and the logits."""
        inputs: list[Tensor] = []

        def keep(
            module: nn.Module, arguments: tuple[object, ...], named: dict[str, object]
        ) -> None:
            del module
            values = [*arguments, *named.values()]
            if len(values) != 1 or not isinstance(values[0], Tensor):
                raise CannotSplitError("the classifier takes more than one tensor")
            inputs.append(values[0].detach())

        handle = self.head_of(self.model).register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with self._autocast:
                logits = self.model(images)
        finally:
            handle.remove()
        if len(inputs) != 1 or len(inputs[0]) != len(images):
            raise CannotSplitError(f"the classifier {self.name} is not run once per image")
        return inputs[0], logits

    @torch.no_grad()
    def _check(self, images: Tensor) -> str:
        head = self.head_of(self.model)
        with same_random_numbers(on_gpus=True), _modes_kept(self.model), _buffers_kept(self.model):
            trained, _ = self._run(images)
            torch.manual_seed(PROBE_SEED + 1)
            again, _ = self._run(images)
            self.model.eval()
            features, logits = self._run(images)
            with self._autocast:
                own = head(features)
        if not _are_close(features, trained) or not _are_close(features, again):
            raise CannotSplitError(
                f"the input of the classifier {self.name} is another one in training, for example "
                "because of dropout before it"
            )
        if not isinstance(logits, Tensor) or not _are_close(own, logits):
            raise CannotSplitError(f"the logits are not the output of the classifier {self.name}")
        values = features.float()
        numbers = (values.mean(), values.std(), values.abs().max())
        return f"{list(features.shape)} {' '.join(f'{number:.3g}' for number in numbers)}"


def _are_close(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(
        first.float(), second.float(), rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE
    )


@contextmanager
def _modes_kept(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    saved = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in saved:
            buffer.copy_(value)
