"""`ema`: the moving average of the weights that is evaluated and saved in their place."""

from __future__ import annotations

from pydantic import Field

from trainable.config.schema import Section


class EmaConfig(Section):
    """`ema`: an exponential moving average of the weights."""

    enabled: bool = Field(default=False, examples=[True])
    """Average the weights and the statistics of batch norm after every step. Evaluation, and so
    the metrics, `best.pt` and the sweep's decisions, then use the average; the training itself
    does not."""
    decay: float = Field(default=0.999, ge=0, lt=1, examples=[0.98])
    """Share of the average that a step keeps. It averages about the last `1 / (1 - decay)` steps:
    for trainings of a few hundred steps take 0.9 to 0.98."""
    warmup: bool = Field(default=True, examples=[False])
    """After `n` steps the decay is at most `(1 + n) / (10 + n)`, so that the first weights, which
    are random, are soon forgotten."""
