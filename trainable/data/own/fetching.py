"""Fetches items so that their random changes depend on a seed and the item's number alone.

The global generators of Python, NumPy and torch are seeded before every item and put back
afterwards. So the number of loader processes does not matter, nor which items were fetched before,
and a training that continues draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainable.augment.streams import same_random_numbers
from trainable.data.own.items import ItemError, Label, read_image, read_label, split_item
from trainable.errors import DataError, summarize_exception


@contextmanager
def seeded_generators(*seeds: int) -> Iterator[None]:
    """Seeds the global generators of the CPU for a block, and puts them back afterwards."""
    words = np.random.SeedSequence(seeds).generate_state(4)
    with same_random_numbers():
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
        yield


class OwnItems:
    """One split of a data set of the user's own.

    Args:
        data: The user's map-style data set.
        name: `module:callable`, for messages.
        split: `train`, `val` or `test`, for messages.
    """

    def __init__(self, data: Any, name: str, split: str) -> None:
        self.data = data
        self.split = split
        self._name = name
        self._epoch_setter = _find_epoch_setter(data)
        self._epoch: int | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def identities(self) -> Any:
        """Values that identify its items, one each; None if it does not state them."""
        identities = getattr(self.data, "identities", None)
        return identities if identities is not None and len(identities) == len(self) else None

    @property
    def has_epochs(self) -> bool:
        """Whether it has a method `set_epoch`, so that its items may depend on the epoch."""
        return self._epoch_setter is not None

    def fetch(self, index: int, *, epoch: int = 0) -> tuple[Tensor, Label]:
        """Returns an image and its label, as `read_image` and `read_label` do.

        Random numbers are those of the global generators.

        Args:
            index: Number of the item.
            epoch: Passed to `set_epoch`, if there is such a method: the epoch of a training, 0 for
                everything else.

        Raises:
            DataError: Its code fails, or it is no image with a label.
        """
        try:
            if self._epoch_setter is not None and self._epoch != epoch:
                self._epoch_setter(epoch)
                self._epoch = epoch
            image, label = split_item(self.data[index])
            return read_image(image), read_label(label)
        except ItemError as error:
            raise DataError(f"{self.describe(index)} {error}") from error
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # whatever the user's code raises
            raise DataError(
                f"{self.describe(index)} cannot be read: {summarize_exception(error)}"
            ) from error

    def describe(self, index: int) -> str:
        """Returns how messages name an item."""
        return f'dataset.name "{self._name}": item {index} of {self.split}'


def _find_epoch_setter(data: Any) -> Any:
    """Returns `set_epoch` of a data set, or of the one that it is a part of."""
    while data is not None:
        setter = getattr(data, "set_epoch", None)
        if callable(setter):
            return setter
        data = getattr(data, "dataset", None)  # torch.utils.data.Subset
    return None


class DrawDetector:
    """Finds out whether a block has drawn from the global generators of the CPU."""

    def __init__(self) -> None:
        self._before = _states()

    def has_drawn(self) -> bool:
        """Returns whether one of them has changed since this detector was made."""
        return self._before != _states()


def _states() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=False)
    numbers, position = state["state"]["key"].tobytes(), state["state"]["pos"]
    torch_state = torch.default_generator.get_state().numpy().tobytes()
    return random.getstate(), numbers, position, state["has_gauss"], torch_state
