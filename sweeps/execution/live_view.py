"""The live view: one line for the sweep, a table of the trials that are running.

Where the output is no terminal there is the line alone, once a minute, between the lines of the
trials that end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import rich.box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.results.progress import (
    SweepProgress,
    TrialProgress,
    compute_progress,
    describe_progress,
    join_parts,
)

REDRAW_S = 0.5
SUMMARY_S = 60.0
ROWS_SHOWN = 16
WIDE = 110
"""Columns from which on the table shows images/s and memory."""


class LiveView:
    """Shows a running sweep.

    Args:
        console: Where.
        total: Trials that the sweep is to have.
        epochs: That a trial runs, at most.
        slots: Trials at once.
        metric: What trials are ranked by.
        mode: `max` or `min`.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        *,
        total: int,
        epochs: int,
        slots: int,
        metric: str,
        mode: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._settings: dict[str, Any] = {
            "total": total,
            "epochs": epochs,
            "slots": slots,
            "mode": mode,
        }
        self._metric = metric
        self.mode = mode
        self._clock = clock
        self._drawn = self._started = clock()
        self._live: Live | None = None

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and no process ever takes this one up."""
        return {}

    def tick(self, trials: Iterable[TrialProgress]) -> None:
        """Draws again if it is time to.

        Args:
            trials: Those that have been made, as they stand.
        """
        now = self._clock()
        if now - self._drawn < (SUMMARY_S if self._live is None else REDRAW_S):
            return
        self._drawn = now
        known = list(trials)
        found = compute_progress(known, **self._settings)
        if self._live is None:
            text = "  ".join(self._summary(found))
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self._live.update(self._drawing(known, found), refresh=True)

    def _summary(self, found: SweepProgress) -> list[str]:
        return describe_progress(found, self._clock() - self._started, self._metric)

    def _drawing(self, trials: list[TrialProgress], found: SweepProgress) -> RenderableType:
        width = self._console.width
        running = [trial for trial in trials if trial.record.state in {"running", "paused"}]
        running.sort(key=lambda trial: trial.record.state != "running")
        more = len(running) - ROWS_SHOWN
        return Group(
            *(Text(each, style="bold") for each in join_parts(self._summary(found), width)),
            *([self._table(running[:ROWS_SHOWN])] if running else []),
            *([Text(f"and {more} more", style="dim")] if more > 0 else []),
        )

    def _table(self, running: list[TrialProgress]) -> Table:
        wide = self._console.width >= WIDE
        table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column("trial", no_wrap=True)
        table.add_column("", width=14 if wide else 8)
        for name in ("epoch", self._metric, "best", "s/epoch"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in ("images/s", "GiB") if wide else ():
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for trial in running:
            row = trial.row
            extra = [_shown(row.get("images_per_s"), ".0f"), _shown(row.get("peak_memory_gib"))]
            table.add_row(
                trial.record.id,
                ProgressBar(total=trial.epochs, completed=trial.epoch),
                f"{trial.epoch}/{trial.epochs}",
                _shown(row.get(self._metric), ".4f"),
                _shown(trial.best, ".4f"),
                _shown(row.get("epoch_s"), ".3g"),
                *(extra if wide else []),
                trial.record.state,
            )
        return table


def _shown(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)
