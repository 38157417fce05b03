"""A model that fails in a way that its number of classes selects.

`model.num_classes` can be searched, a custom model cannot. So each trial of a sweep can fail in
another way.
"""

from torch import nn

from tests.support.failing_models import (
    always_raises,
    dies_once,
    not_a_number,
    out_of_memory,
    raises_once,
)
from tests.support.tiny_models import mlp

FAILURES = {
    10: raises_once,
    11: dies_once,
    12: not_a_number,
    13: always_raises,
    14: out_of_memory,
    15: mlp,
}


def model(num_classes: int, in_channels: int) -> nn.Module:
    return FAILURES[num_classes](num_classes, in_channels)
