"""Finds what a resume has to write in place of damaged files, before Ray starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import upload
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.lost_events import list_lost, rebuild
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.sweep_dir.trial_rows import TrialRowsReader
from sweeps.terminal.console import print_line
from trainable.artifacts.metrics import Row
from trainable.artifacts.names import (
    CHECKPOINTS,
    CONFIG_FILE,
    LOG_FILE,
    METRICS_FILE,
    TENSORBOARD,
)
from trainable.atomic_files import write_text

REBUILT_SCHEDULERS = {"fifo", "asha", "median"}
"""Schedulers whose lost events can be rebuilt (see `lost_events`)."""
DAMAGED_METRICS = "metrics.damaged.jsonl"
"""A copy of a trial's `metrics.jsonl` as it was when a resume wrote it again."""


@dataclass(frozen=True)
class Repairs:
    """The content that a resume writes in place of damaged files, before anything reads them."""

    events: list[Event]
    """Events that are lost."""
    rows: dict[Path, list[Row]]
    """Damaged `metrics.jsonl` -> its epochs."""
    notes: list[str]

    def write(self, layout: SweepLayout) -> None:
        """Writes the files and prints the notes; a damaged file is kept beside the new one."""
        for path, rows in self.rows.items():
            if path.exists():
                shutil.copyfile(path, path.with_name(DAMAGED_METRICS))
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
            upload(path)
        log = EventLog(layout.events_file)
        log.remove_partial_line()
        for event in self.events:
            log.append(event)
        log.close()
        for note in self.notes:
            print_line(f"note: {note}")


def find_repairs(layout: SweepLayout, spec: SearchSpec, records: Sequence[TrialRecord]) -> Repairs:
    """Reads every file that a resume needs, and changes none.

    Args:
        layout: The sweep directory.
        spec: The sweep's search file.
        records: The sweep's trials.

    Raises:
        SweepError: A file cannot be read and what it held is nowhere else; all are named.
    """
    events = EventLog(layout.events_file).read()
    reader = TrialRowsReader(layout.directory, spec.tune.metric, spec.config)
    trials = {record.id: reader.read(record) for record in records}
    paths = {r.id: layout.directory / r.directory / METRICS_FILE for r in records}
    problems = list(_list_wrong_kinds(layout, records))
    lost = list_lost(records, events)
    scheduler = spec.tune.scheduler.name
    if lost and scheduler not in REBUILT_SCHEDULERS:
        ids = ", ".join(record.id for record in lost)
        problems.append(
            f"{layout.events_file}: the events of trials {ids} are lost, without which "
            f"{scheduler} cannot be resumed; restore the file from a copy, or start a new sweep "
            f"with the results of this one (tune.warm_start: {layout.directory})"
        )
    if problems:
        raise SweepError("\n".join(problems))
    rows = {id_: trial.rows for id_, trial in trials.items()}
    rebuilt = rebuild(lost, rows, events, spec.logged_metrics)
    notes = [trial.damage for trial in trials.values() if trial.damage is not None]
    if lost:
        notes.append(
            f"{layout.events_file}: the events of {len(lost)} trials are lost; they are taken "
            "from the trials' metrics.jsonl, in the order of their times"
        )
    damaged = {paths[id_]: trial.rows for id_, trial in trials.items() if trial.damage is not None}
    return Repairs(rebuilt, damaged, notes)


def _list_wrong_kinds(layout: SweepLayout, records: Sequence[TrialRecord]) -> Iterator[str]:
    """Yields a sentence about each directory where a resume needs a file, and the reverse."""
    for record in records:
        trial = layout.directory / record.directory
        files = (METRICS_FILE, LOG_FILE, CONFIG_FILE)
        for name in files if record.state not in ENDED else files[:1]:
            if (trial / name).exists() and not (trial / name).is_file():
                yield f"{trial / name}: expected a file, found a directory; move it away"
        for name in (CHECKPOINTS, TENSORBOARD):
            if (trial / name).exists() and not (trial / name).is_dir():
                yield f"{trial / name}: expected a directory, found a file; move it away"
