"""A model that sends its own process a signal, as a user at the terminal may do."""

import os
import signal

from torch import nn

from tests.support import tiny_models


class SendsSigterm(nn.Sequential):
    """Sends SIGTERM in its second evaluation."""

    evaluations = 0

    def train(self, mode: bool = True) -> nn.Module:
        if not mode:
            self.evaluations += 1
            if self.evaluations == 2:
                os.kill(os.getpid(), signal.SIGTERM)
        return super().train(mode)


def mlp(num_classes: int, in_channels: int) -> nn.Module:
    """Builds the tiny model as one that sends a signal."""
    return SendsSigterm(*tiny_models.mlp(num_classes, in_channels))
