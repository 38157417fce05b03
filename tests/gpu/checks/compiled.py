"""`training.compile` inside a recording, against an eager training. Compiling takes a minute."""

from __future__ import annotations

from torch._dynamo.utils import counters

from tests.gpu.checks.common import (
    Check,
    assert_close,
    assert_recorded,
    losses,
    need_gpu,
    trained,
    trainer_of,
)


def recorded() -> str:
    """Fused kernels round differently: losses are compared, not weights."""
    need_gpu()
    results = []
    for training in ({"compile": False}, {"compile": True}):
        trainer = trainer_of(graph=bool(training["compile"]), amp="bfloat16", training=training)
        rows = trained(trainer)
        results.append(losses(rows))
    assert_recorded(rows[-1])
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0, "nothing was compiled"
    return f"losses {assert_close(results[1], results[0], 0.1)}, {graphs} graphs compiled"


def second_trial() -> str:
    """A worker's next trial of the same form uses the compiled model that is there."""
    need_gpu()
    before = counters["stats"]["unique_graphs"]
    rows = trained(trainer_of(graph=True, amp="bfloat16", training={"compile": True}))
    assert_recorded(rows[-1])
    again = counters["stats"]["unique_graphs"] - before
    assert again == 0, f"{again} graphs compiled again"
    return "nothing compiled again"


CHECKS: dict[str, Check] = {"recorded": recorded, "second trial": second_trial}
