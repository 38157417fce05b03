"""Finds what can be deleted from a sweep directory: `sweep gc`.

The sweep can still be read, resumed and extended afterwards. Only the weights that `keep.trials`
does not keep are lost.
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
from trainable.artifacts.names import CHECKPOINTS
from trainable.atomic_files import TEMPORARY_SUFFIX

Kind = Literal["weights", "temporary", "tune"]

TUNE_SWEEP_FILES = ("experiment_state-*.json", "tuner.pkl", ".validate_storage_marker")
"""Files that Tune writes for its own resume, which is never used."""
TUNE_TRIAL_FILES = ("checkpoint_[0-9]*", "params.json", "params.pkl", "result.json", "error.*")
"""Files that Tune writes for a trial; the trial's own files hold all of it too."""


@dataclass(frozen=True)
class Removable:
    """One file, or one directory of Tune's, that can be deleted."""

    path: Path
    kind: Kind


def find_removable(
    directory: Path, spec: SearchSpec, records: list[TrialRecord]
) -> list[Removable]:
    """Lists everything that can be deleted from a sweep that is not running.

    Args:
        directory: The sweep directory.
        spec: The sweep's search file.
        records: The sweep's trials. Those that have not ended only lose temporary files.
    """
    removable: dict[Path, Removable] = {}
    for path in surplus_weights(directory, spec):
        removable[path] = Removable(path, "weights")
    for path in _temporary_files(directory, records):
        removable.setdefault(path, Removable(path, "temporary"))
    for path in _tune_files(directory, records):
        removable.setdefault(path, Removable(path, "tune"))
    return list(removable.values())


def _temporary_files(directory: Path, records: list[TrialRecord]) -> Iterator[Path]:
    folders = [directory]
    for record in records:
        trial = directory / record.directory
        folders += [trial, trial / CHECKPOINTS]
    for folder in folders:
        yield from folder.glob(f".*{TEMPORARY_SUFFIX}")


def _tune_files(directory: Path, records: list[TrialRecord]) -> Iterator[Path]:
    for pattern in TUNE_SWEEP_FILES:
        yield from directory.glob(pattern)
    for record in records:
        if record.state in ENDED:
            for pattern in TUNE_TRIAL_FILES:
                yield from (directory / record.directory).glob(pattern)


def freed_bytes(paths: list[Path]) -> int:
    """Returns the space that deleting paths frees; files with a hard link elsewhere free none."""
    deleted_links: dict[tuple[int, int], int] = defaultdict(int)
    links_and_size: dict[tuple[int, int], tuple[int, int]] = {}
    for path in paths:
        for file in [path, *path.rglob("*")] if not path.is_symlink() else []:
            if file.is_file() and not file.is_symlink():
                stat = file.stat()
                inode = stat.st_dev, stat.st_ino
                deleted_links[inode] += 1
                links_and_size[inode] = stat.st_nlink, stat.st_size
    return sum(
        size for inode, (links, size) in links_and_size.items() if deleted_links[inode] >= links
    )
