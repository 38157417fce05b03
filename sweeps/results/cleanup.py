"""What a sweep's directory could do without: `sweep gc`.

Nothing that a sweep is read, resumed or extended from is among it, but for the weights that
`keep.trials` does not keep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeps.results.retention import surplus_weights
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import ENDED, TrialRecord
from trainable.atomic_files import TEMPORARY_SUFFIX

Kind = Literal["weights", "temporary", "tune"]

OF_THE_SWEEP = ("experiment_state-*.json", "tuner.pkl", ".validate_storage_marker")
"""What Tune writes for its own resume, which is never used."""
OF_A_TRIAL = ("checkpoint_[0-9]*", "params.json", "params.pkl", "result.json", "error.*")
"""What Tune writes of a trial; all of it is in the layout too."""


@dataclass(frozen=True)
class Removable:
    """One file, or one directory of Tune's, that can go."""

    path: Path
    kind: Kind


def find_removable(
    directory: Path, spec: SearchSpec, records: list[TrialRecord]
) -> list[Removable]:
    """Everything that can go from a sweep which nobody runs.

    Args:
        directory: The sweep's.
        spec: Its search file.
        records: Its trials; of those that have not ended only temporary files can go.
    """
    found: dict[Path, Removable] = {}
    for path in surplus_weights(directory, spec):
        found[path] = Removable(path, "weights")
    for path in _temporaries(directory, records):
        found.setdefault(path, Removable(path, "temporary"))
    for path in _of_tune(directory, records):
        found.setdefault(path, Removable(path, "tune"))
    return list(found.values())


def _temporaries(directory: Path, records: list[TrialRecord]) -> Iterator[Path]:
    places = [directory]
    for record in records:
        trial = directory / record.directory
        places += [trial, trial / "checkpoints"]
    for place in places:
        yield from place.glob(f".*{TEMPORARY_SUFFIX}")


def _of_tune(directory: Path, records: list[TrialRecord]) -> Iterator[Path]:
    for pattern in OF_THE_SWEEP:
        yield from directory.glob(pattern)
    for record in records:
        if record.state in ENDED:
            for pattern in OF_A_TRIAL:
                yield from (directory / record.directory).glob(pattern)


def freed_bytes(paths: list[Path]) -> int:
    """The room that deleting paths makes: a file with a name elsewhere stays on the disk."""
    names: dict[tuple[int, int], int] = defaultdict(int)
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file():
                stat = file.stat()
                names[stat.st_dev, stat.st_ino] += 1
                known[stat.st_dev, stat.st_ino] = stat.st_nlink, stat.st_size
    return sum(size for key, (links, size) in known.items() if names[key] >= links)
