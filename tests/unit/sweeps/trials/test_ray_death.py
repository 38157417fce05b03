"""The death of Ray while the driver is stuck in a call that waits for Ray."""

import os
from pathlib import Path

import pytest

from sweeps.trials import ray_death
from sweeps.trials.pause import PauseSwitch, RayDied
from sweeps.trials.ray_death import RayDeath


def test_a_driver_that_is_stuck_records_the_pause_and_ends_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a forked process, which `_end_loop` ends."""
    monkeypatch.setattr(ray_death, "GRACE_S", 0.01)
    switch = PauseSwitch(tmp_path / "stop", None)

    def record_end() -> str:
        (tmp_path / "reason").write_text(str(switch.reason))
        return "sweep resume mine"

    child = os.fork()
    if child == 0:
        RayDeath(switch, record_end)._end_loop("raylet")
        os._exit(99)  # it has returned
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 4
    assert (tmp_path / "reason").read_text() == "ray_died"
    assert capfd.readouterr().out.splitlines() == [
        "Ray has died, raylet does not respond: running trials lose their epoch",
        "paused by the death of Ray; resume it with:",
        "sweep resume mine",
    ]


def test_a_driver_whose_loop_ends_records_the_pause_itself(tmp_path: Path) -> None:
    switch = PauseSwitch(tmp_path / "stop", None)
    death = RayDeath(switch, lambda: pytest.fail("the loop has ended"))
    death._loop_ended.set()
    death._end_loop("raylet")
    assert switch.reason == "ray_died"
    with pytest.raises(RayDied):
        switch.poll()
