"""Which configurations a space can produce, and why it cannot produce others."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweeps.space.membership import contains, explain_outside
from tests.support.search_specs import spec_of

LR, NAME, MOMENTUM, BATCH = (
    "optimizer.learning_rate",
    "optimizer.name",
    "optimizer.momentum",
    "training.batch_size",
)
SGD = {NAME: "sgd", MOMENTUM: 0.9, LR: 0.1, BATCH: 32}
ADAM = {NAME: "adamw", LR: 0.1, BATCH: 32}


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        (SGD, []),
        (ADAM, []),
        ({**SGD, LR: 1}, []),
        ({**SGD, LR: 2.0}, [f'{LR}: {{"loguniform": [0.001, 1.0]}} cannot be 2.0']),
        ({**SGD, LR: math.nan}, [f'{LR}: {{"loguniform": [0.001, 1.0]}} cannot be NaN']),
        ({**SGD, BATCH: math.inf}, [f'{BATCH}: {{"randint": [16, 129]}} cannot be Infinity']),
        ({**ADAM, MOMENTUM: 0.9}, [f"{MOMENTUM} does not exist with these values"]),
        ({**ADAM, "training.epochs": 3}, ["training.epochs is not a key of the space"]),
        ({NAME: "sgd", LR: 0.1, BATCH: 32}, [f"{MOMENTUM} has no value"]),
        ({**ADAM, BATCH: 64, LR: 0.9}, [f"the constraint {LR} * {BATCH} < 50 does not hold"]),
    ],
)
def test_every_reason_is_named(values: dict[str, Any], reasons: list[str]) -> None:
    spec = spec_of(constraints=[f"{LR} * {BATCH} < 50"])
    reasons_given = list(explain_outside(spec.space, spec.constraints, values))
    assert [text for text in reasons_given if "constraint" not in text or text in reasons] == (
        reasons
    )
    assert contains(spec.space, spec.constraints, values) == (not reasons)
