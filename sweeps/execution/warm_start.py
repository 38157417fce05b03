"""`tune.warm_start`: begins a sweep from what an earlier one has learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sweeps.results.trial_results import read_results
from sweeps.search.searcher import Searcher
from sweeps.space.distributions import Distribution
from sweeps.space.parameters import ExpressionParameter, Parameter, ZippedParameter, to_json
from sweeps.space.search_space import satisfies
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import local
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED
from trainable.atomic_files import write_text

COMPLETE = ENDED - {"failed"}


def record_points(spec: SearchSpec, layout: SweepLayout) -> int:
    """Copies the earlier sweep's ended trials that fit the space; returns how many.

    Those that failed are no evidence, as in the sweep itself: they may have been good.
    They are kept in the new sweep's own directory, so that it is resumed the same whatever becomes
    of the earlier one.

    Args:
        spec: The new sweep's, with a `warm_start`.
        layout: The new sweep's.

    Raises:
        SweepError: `warm_start` names no sweep's directory.
    """
    assert spec.tune.warm_start is not None
    earlier = local(spec.tune.warm_start)
    SweepLayout(earlier).read_sweep()
    metric = spec.tune.metric
    points = [
        {
            "values": result.record.current,
            "scores": [float(result.best[name]) for name in spec.tune.metrics],
        }
        for result in read_results(earlier, metric, spec.tune.mode)
        if result.record.state in COMPLETE
        and result.best is not None
        and _fits(result.record.current, spec)
    ]
    write_text(layout.warm_start_file, json.dumps(points, indent=2) + "\n")
    return len(points)


def tell_points(searcher: Searcher, layout: SweepLayout) -> None:
    """Tells a searcher the points that the sweep was started with."""
    if layout.warm_start_file.exists():
        points = json.loads(layout.warm_start_file.read_text(encoding="utf-8"))
        for position, point in enumerate(points):
            # Below 0, where no trial of this sweep has its number.
            searcher.tell(-1 - position, point["values"], point["scores"])


def _fits(values: Mapping[str, Any], spec: SearchSpec) -> bool:
    """Whether values could have been drawn from a space."""
    active = {key for key, found in spec.space.items() if found.is_active(values)}
    if active != values.keys() or not satisfies(spec.constraints, dict(values)):
        return False
    return all(_could_be_had(spec.space[key], values, key) for key in values)


def _could_be_had(found: Parameter, values: Mapping[str, Any], key: str) -> bool:
    if isinstance(found, Distribution):
        return found.can_draw(values[key])
    assert isinstance(found, ExpressionParameter | ZippedParameter)
    try:
        return to_json(found.value(values)) == to_json(values[key])
    except ValueError:  # no expression of these values, or no value of the source_key's
        return False
