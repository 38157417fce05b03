"""`tune.warm_start`: gives the searcher of a new sweep the results of an earlier one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sweeps.results.trial_results import read_results, read_scores
from sweeps.search.searcher import Searcher
from sweeps.space.distributions import Distribution
from sweeps.space.parameters import ExpressionParameter, Parameter, ZippedParameter, to_json
from sweeps.space.search_space import satisfies
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import resolve
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED
from trainable.atomic_files import write_text

COMPLETE = ENDED - {"failed"}

Point = dict[str, Any]
"""Values and scores of an earlier trial."""


def read_points(spec: SearchSpec) -> list[Point] | None:
    """Reads the earlier sweep's ended trials that fit the space; None without a `warm_start`.

    Failed trials are left out, because they may have been good.

    Args:
        spec: The new sweep's search file.

    Raises:
        SweepError: `warm_start` is not the directory of a sweep, or one of its files is broken.
    """
    if spec.tune.warm_start is None:
        return None
    earlier = resolve(spec.tune.warm_start)
    SweepLayout(earlier).read_sweep()
    metric = spec.tune.metric
    return [
        {"values": result.values, "scores": scores}
        for result in read_results(earlier, metric, spec.tune.mode)
        if result.record.state in COMPLETE
        and (scores := read_scores(result, spec.tune.metrics)) is not None
        and _fits(result.values, spec)
    ]


def write_points(points: list[Point], layout: SweepLayout) -> None:
    """Writes the points into a new sweep's directory; a resume does not need the earlier sweep."""
    write_text(layout.warm_start_file, json.dumps(points, indent=2) + "\n")


def tell_points(searcher: Searcher, layout: SweepLayout) -> None:
    """Gives a searcher the points that the sweep was started with."""
    if layout.warm_start_file.exists():
        points = json.loads(layout.warm_start_file.read_text(encoding="utf-8"))
        for position, point in enumerate(points):
            # Negative numbers, which no trial of this sweep has.
            searcher.tell(-1 - position, point["values"], point["scores"])


def _fits(values: Mapping[str, Any], spec: SearchSpec) -> bool:
    """Whether a space can produce these values."""
    active = {key for key, parameter in spec.space.items() if parameter.is_active(values)}
    if active != values.keys() or not satisfies(spec.constraints, dict(values)):
        return False
    return all(_can_produce(spec.space[key], values, key) for key in values)


def _can_produce(parameter: Parameter, values: Mapping[str, Any], key: str) -> bool:
    if isinstance(parameter, Distribution):
        return parameter.can_draw(values[key])
    assert isinstance(parameter, ExpressionParameter | ZippedParameter)
    try:
        return to_json(parameter.value(values)) == to_json(values[key])
    except ValueError:  # the expression fails, or its source key has another value
        return False
