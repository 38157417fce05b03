"""The stand-in for CUDA graphs refuses and replays like a GPU."""

from functools import partial

import pytest
import torch

from tests.support.reading_back import READS, do
from tests.support.replayed_operations import ReplayRecorder, record

# ---------------------------------------------------------------------- the stand-in itself


def test_a_recording_does_nothing_and_a_replay_runs_no_python() -> None:
    total, runs = torch.zeros(3), []
    torch.manual_seed(0)
    expected = [torch.rand(3) for _ in range(2)]
    torch.manual_seed(0)

    def work() -> None:
        runs.append("once")
        total.add_(torch.rand(3), alpha=1 + len(runs))

    replay = record(work)
    assert torch.equal(total, torch.zeros(3))
    replay()
    replay()
    assert runs == ["once"]
    torch.testing.assert_close(total, 2 * sum(expected, torch.zeros(3)))


@pytest.mark.parametrize("name", READS)
def test_work_that_reads_values_back_is_refused(name: str) -> None:
    values = torch.tensor([0.0, 1.0, 2.0])
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        record(partial(do, READS[name], values))
    line = ReplayRecorder().find_synchronization(partial(do, READS[name], values))
    assert line is not None
    assert "reading_back.py:" in line


def test_work_that_reads_nothing_back_is_recorded() -> None:
    values, result = torch.tensor([0.0, 1.0, 2.0]), torch.zeros(2)
    positions = torch.tensor([2, 1])

    def work() -> None:
        result.copy_(torch.where(values > 1, values, -values)[positions])

    assert ReplayRecorder().find_synchronization(work) is None
    replay = record(work)
    values.mul_(3)
    replay()
    assert result.tolist() == [6, 3]
