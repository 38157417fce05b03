"""A planned sweep in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweeps.spec.search_spec import SearchSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class SearchPlan:
    """A sweep as far as it is known before it runs.

    `print` shows what `sweep plan` shows, without its estimates of time and disk space.
    """

    trials: int
    """Number of trials, including repeats and final trials."""
    concurrent: int
    """Trials that run concurrently on this machine; 0 if it is too small for one."""
    expected_epochs: tuple[float, float]
    """Epochs of all trials that the scheduler is expected to train: (least, most)."""
    draws: pd.DataFrame
    """The values of the first draws, at most 256: one row per draw, one column per key."""
    fixed_draws: int
    """Number of draws that do not depend on results of trials."""
    text: str
    """The lines of `sweep plan`, without `time:` and `disk:`."""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        """Returns one line."""
        least, most = (f"{epochs:.0f}" for epochs in self.expected_epochs)
        epochs = least if least == most else f"{least} to {most}"
        return f"<SearchPlan: {self.trials} trials, {self.concurrent} concurrent, {epochs} epochs>"


def make_search_plan(spec: SearchSpec, *, allow_custom_model: bool) -> SearchPlan:
    """Plans a sweep as `sweep plan` does, without estimates of time and disk space.

    Args:
        spec: The search, checked by itself.
        allow_custom_model: Whether own code is allowed.

    Raises:
        ConfigError: Trials would fail; all problems are listed.
    """
    from sweeps.cluster.placement import this_machine
    from sweeps.planning.description import describe_plan
    from sweeps.planning.plan import make_plan
    from sweeps.planning.validation import check_spec
    from sweeps.results.export import to_frame

    check_spec(spec, allow_custom_model=allow_custom_model, with_torch=True)
    plan = make_plan(spec, this_machine())
    return SearchPlan(
        trials=spec.trials,
        concurrent=plan.concurrency.trials,
        expected_epochs=plan.expected_epochs,
        draws=to_frame(plan.draws),
        fixed_draws=plan.fixed_draws,
        text="\n".join(describe_plan(plan)),
    )
