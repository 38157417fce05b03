"""Fixtures of the tests of `sweep ui`."""

import pytest


@pytest.fixture
def every_look_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no look at a sweep serve the next one."""
    monkeypatch.setattr("sweeps.ui.cached_sweep.LOOK_INTERVAL_S", 0)
