"""What a sweep's checkpoints will take, from the sizes of its models: nothing is trained."""

from __future__ import annotations

from sweeps.planning.cost import Probed, chosen, forecast
from sweeps.planning.plan import Plan
from trainable.profiling.cost import Measured
from trainable.profiling.footprint import footprint


def predicted_disk(plan: Plan, *, allow_custom_model: bool = False) -> tuple[int, int]:
    """Bytes of checkpoints: at least, of the epochs that are expected; at most, of all.

    Args:
        plan: Of the sweep.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: A model cannot be built; it says why.
    """
    found = []
    for number, config in chosen(plan):
        parameters, size = footprint(config, allow_custom_model=allow_custom_model)
        only_size = Measured("", parameters, size, 0.0, 0.0, 0.0)
        found.append(Probed(number, plan.draws[number], config, only_size))
    return forecast(plan, found).disk_bytes
