"""`tune.warm_start`: gives the searcher of a new sweep the results of an earlier one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sweeps.results.trial_results import read_results, read_scores
from sweeps.search.searcher import Searcher
from sweeps.space.membership import can_produce, contains
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import resolve
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, STRICT
from trainable.atomic_files import write_text

COMPLETE = ENDED - {"failed"}

REMEDY = (
    "restore the file from a copy, or write [] to it to go on without the earlier sweep's results"
)


@dataclass(frozen=True)
class Point:
    """Values and scores of an earlier trial."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    values: dict[str, Any]
    scores: list[float]


_POINTS = TypeAdapter(list[Point])


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
        Point(result.values, scores)
        for result in read_results(earlier, metric, spec.tune.mode)
        if result.record.state in COMPLETE
        and (scores := read_scores(result, spec.tune.metrics)) is not None
        and contains(spec.space, spec.constraints, result.values)
    ]


def write_points(points: list[Point], layout: SweepLayout) -> None:
    """Writes the points into a new sweep's directory; a resume does not need the earlier sweep."""
    write_text(layout.warm_start_file, json.dumps(list(map(asdict, points)), indent=2) + "\n")


def load_points(spec: SearchSpec, layout: SweepLayout) -> list[Point]:
    """Reads the points that a sweep was started with.

    Raises:
        SweepError: Their file is missing or damaged.
    """
    path = layout.warm_start_file
    if spec.tune.warm_start is None:
        return []
    try:
        points: list[Point] = _POINTS.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SweepError(f"{path}: there is no such file; {REMEDY}") from None
    except OSError as error:
        raise SweepError(f"{path}: cannot be read: {error.strerror}; {REMEDY}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise SweepError(f"{path}: {place}{first['msg']}; {REMEDY}") from error
    for position, point in enumerate(points):
        if len(point.scores) != len(spec.tune.metrics) or not _has_types(point.values, spec):
            raise SweepError(f"{path}: {position}: not a point of the space; {REMEDY}")
    return points


def tell_points(searcher: Searcher, points: list[Point]) -> None:
    """Gives a searcher the points that the sweep was started with."""
    for position, point in enumerate(points):
        # Negative numbers, which no trial of this sweep has.
        searcher.tell(-1 - position, point.values, point.scores)


def _has_types(values: Mapping[str, Any], spec: SearchSpec) -> bool:
    """Whether keys of the space have values that are numbers or that it can produce.

    Earlier versions have also recorded numbers that the space cannot produce.
    """
    return all(
        key in spec.space
        and (type(value) in {int, float} or can_produce(spec.space[key], values, key))
        for key, value in values.items()
    )
