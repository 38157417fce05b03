"""Live view of a sweep: one line for the sweep and a table of its running trials.

If the output is not a terminal, only the line is printed, once a minute and with the time of day,
between the lines of the trials that end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import rich.box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.notebook.display import in_notebook
from sweeps.results.progress import (
    SweepProgress,
    TrialProgress,
    compute_progress,
    describe_progress,
    describe_silent,
    join_parts,
)
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import TrialState
from sweeps.terminal.console import console, print_line, with_time
from sweeps.terminal.formatting import format_value
from sweeps.terminal.tables import UNLIMITED_WIDTH, ShortenedText, break_heading

REDRAW_INTERVAL_S = 0.5
SUMMARY_INTERVAL_S = 60.0
LIVE_STATES: tuple[TrialState, ...] = ("running", "paused")
"""States of the trials that the table shows, in this order."""
MAX_ROWS = 16
OTHER_LINES = 8
"""Lines of the terminal that are left to the sweep's line, the headings and the lines above."""
WIDE_COLUMNS = 110
"""Least width of a terminal for which the table shows images/s and memory."""
SAMPLED_WIDTH = 10
"""Columns of a sampled value; as many values are shown as fit beside the rest of the table."""


def build_view(spec: SearchSpec, total: int, slots: int) -> LiveView:
    """Returns the view of a sweep that fits the output: a terminal, a notebook or a file.

    Args:
        spec: The search file.
        total: Number of trials of the sweep.
        slots: Number of concurrent trials.
    """
    from sweeps.execution.observers.notebook_view import NotebookView

    kind = NotebookView if in_notebook() else LiveView
    return kind(
        console,
        total=total,
        epochs=spec.max_epochs,
        slots=slots,
        metric=spec.tune.metric,
        mode=spec.tune.mode,
    )


class LiveView:
    """Shows a running sweep.

    Args:
        console: The console to print on.
        total: Number of trials of the sweep.
        epochs: Most epochs of a trial.
        slots: Number of concurrent trials.
        metric: The metric that trials are ranked by.
        mode: `max` or `min`, the direction of the metric.
        clock: Monotonic clock in seconds.
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
        self.metric, self.mode = metric, mode
        self._clock = clock
        self._trials: list[TrialProgress] = []
        self._drawn_at = self._started = clock()
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
        """Returns nothing: Tune pickles its callbacks, but no process ever restores this one."""
        return {}

    @property
    def total(self) -> int:
        """Number of trials of the sweep."""
        total: int = self._settings["total"]
        return total

    def change(self, *, total: int, slots: int) -> None:
        """Takes another number of trials, and of concurrent ones."""
        self._settings |= {"total": total, "slots": slots}

    def tick(self, trials: Iterable[TrialProgress], *, pausing: bool = False) -> None:
        """Draws again if the interval is over.

        Args:
            trials: The progress of every trial that has been created.
            pausing: Whether the sweep is about to pause.
        """
        now = self._clock()
        if now - self._drawn_at < self.interval_s:
            return
        self._drawn_at = now
        self.draw(trials, pausing=pausing)

    def draw(self, trials: Iterable[TrialProgress], *, pausing: bool = False) -> None:
        """Draws the sweep as it is now; see `tick`."""
        self._trials = trials = list(trials)
        progress = compute_progress(trials, **self._settings)
        parts = self._describe(progress, pausing)
        if (silent := describe_silent(trials, self._clock())) is not None:
            parts.append(silent)
        self._show(trials, progress, parts)

    def print_end(self, text: str, *, failed: bool) -> None:
        """Prints the line of a trial that has ended.

        Args:
            text: The line.
            failed: Whether it has failed.
        """
        del failed
        print_line(text)

    @property
    def interval_s(self) -> float:
        """Seconds between two times that the view is drawn."""
        return SUMMARY_INTERVAL_S if self._live is None else REDRAW_INTERVAL_S

    def _show(
        self, trials: list[TrialProgress], progress: SweepProgress, parts: list[str]
    ) -> None:
        del progress
        if self._live is None:
            text = with_time("  ".join(parts))
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            lines = join_parts(parts, self._console.width)
            self._live.update(self._draw(trials, lines), refresh=True)

    def _describe(self, progress: SweepProgress, pausing: bool) -> list[str]:
        elapsed_s = self._clock() - self._started
        return describe_progress(progress, elapsed_s, self.metric, pausing=pausing)

    def _draw(self, trials: list[TrialProgress], lines: list[str]) -> RenderableType:
        most = max(1, min(MAX_ROWS, self._console.height - OTHER_LINES))
        shown, hidden = select_rows(trials, most)
        states = Counter(trial.record.state for trial in hidden)
        more = ", ".join(f"{states[state]} {state}" for state in LIVE_STATES if states[state])
        return Group(
            *(Text(line, style="bold") for line in lines),
            *([self._build_table(shown)] if shown else []),
            *([Text(f"and {more} not shown", style="dim")] if more else []),
        )

    def _build_table(self, trials: list[TrialProgress]) -> Table:
        keys = list(dict.fromkeys(key for trial in trials for key in trial.record.current))
        table = self._build_columns(trials, [])
        options = self._console.options.update_width(UNLIMITED_WIDTH)
        room = self._console.width - Measurement.get(self._console, options, table).maximum
        shown = keys[: max(0, room // (SAMPLED_WIDTH + 1))]
        return self._build_columns(trials, shown) if shown else table

    def _build_columns(self, trials: list[TrialProgress], keys: list[str]) -> Table:
        """Returns the table with the sampled values of these keys."""
        is_wide = self._console.width >= WIDE_COLUMNS
        table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column("trial", no_wrap=True)
        table.add_column("", width=14 if is_wide else 8)
        table.add_column("state", no_wrap=True)
        numbers = ["epoch", f"last\n{self.metric}", f"best\n{self.metric}", "s/epoch"]
        for name in [*numbers, *(["images/s", "GiB"] if is_wide else [])]:
            table.add_column(name, justify="right", no_wrap=True)
        for key in keys:
            name = key.rpartition(".")[2]
            heading = name if len(name) <= SAMPLED_WIDTH else break_heading(name)
            table.add_column(heading, justify="right", width=SAMPLED_WIDTH)
        for trial in trials:
            row, values = trial.row, trial.record.current
            extra = [_format(row.get("images_per_s"), ".0f"), _format(row.get("peak_memory_gib"))]
            table.add_row(
                trial.record.id,
                ProgressBar(total=trial.epochs, completed=trial.epoch),
                trial.record.state,
                f"{trial.epoch}/{trial.epochs}",
                _format(row.get(self.metric), ".4f"),
                _format(trial.best, ".4f"),
                _format(row.get("epoch_s"), ".3g"),
                *(extra if is_wide else []),
                *(ShortenedText(format_value(values[k]) if k in values else "") for k in keys),
            )
        return table


def select_rows(
    trials: Iterable[TrialProgress], most: int
) -> tuple[list[TrialProgress], list[TrialProgress]]:
    """Selects the trials that the table shows: running ones, the most recently changed first.

    Args:
        trials: The progress of every trial that has been created.
        most: Number of rows.

    Returns:
        (shown, hidden): Trials that run or wait, in order of creation, and those left out.
    """
    live = [trial for trial in trials if trial.record.state in LIVE_STATES]
    live.sort(key=lambda trial: (LIVE_STATES.index(trial.record.state), -trial.changed))
    shown, hidden = live[:most], live[most:]
    shown.sort(key=lambda trial: (LIVE_STATES.index(trial.record.state), trial.record.number))
    return shown, hidden


def _format(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)
