"""A model that fails in a way that its number of classes selects.

`model.num_classes` can be searched, a custom model cannot. So each trial of a sweep can fail in
another way.
"""

from torch import nn

from tests.support.failing_models import (
    dies_once,
    not_a_number,
    out_of_memory,
    raises_late,
)
from tests.support.tiny_models import mlp

FAILURES = {
    10: dies_once,
    11: mlp,
    12: out_of_memory,
    13: raises_late,
    14: not_a_number,
}
"""Number of classes -> how such a model fails."""


def model(num_classes: int, in_channels: int) -> nn.Module:
    return FAILURES[num_classes](num_classes, in_channels)
