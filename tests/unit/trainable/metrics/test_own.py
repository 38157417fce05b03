"""A metric of the user's own over several passes; `preflight/test_metrics.py` has the refusals."""

import pytest
import torch

from trainable.metrics.collector import MAX_LOGITS_BYTES, MetricCollector


def test_every_pass_begins_anew_and_batches_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4
    values = []
    for limit in (MAX_LOGITS_BYTES, 0):  # kept and computed once, or given batch by batch
        monkeypatch.setattr("trainable.metrics.collector.MAX_LOGITS_BYTES", limit)
        collector = MetricCollector(
            ["own_metrics:Brier:min"], 4, torch.device("cpu"), allow_custom=True
        )
        for _ in range(2):
            collector.start(50)
            for batch in zip(logits.split(16), labels.split(16), strict=True):
                collector.add(*batch)
            values.append(collector.compute().scores["Brier"])
    targets = torch.nn.functional.one_hot(labels, 4)
    expected = (logits.softmax(1) - targets).square().sum(1).mean().item()
    assert values == pytest.approx([expected] * 4)
