"""View of a sweep that runs in a notebook: a bar, a line and the best trials, drawn again."""

from __future__ import annotations

from sweeps.execution.observers.live_view import LiveView
from sweeps.notebook.display import Display
from sweeps.notebook.page import progress_html
from sweeps.results.progress import SweepProgress, TrialProgress

REDRAW_INTERVAL_S = 1.0


class NotebookView(LiveView):
    """Shows a running sweep in one output of the cell; see `LiveView`."""

    @property
    def interval_s(self) -> float:
        """Seconds between two times that the view is drawn."""
        return REDRAW_INTERVAL_S

    def __enter__(self) -> NotebookView:
        self._display = Display()
        return self

    def __exit__(self, *_: object) -> None:
        """Draws the last state, which stays."""
        self.draw(self._trials)

    def print_end(self, text: str, *, failed: bool) -> None:
        """Prints the line of a trial that has failed; the table shows the others."""
        if failed:
            super().print_end(text, failed=failed)

    def _show(
        self, trials: list[TrialProgress], progress: SweepProgress, parts: list[str]
    ) -> None:
        sign = -1 if self.mode == "max" else 1
        ranked = sorted(
            trials,
            key=lambda trial: (
                trial.best is None,
                sign * (trial.best or 0.0),
                trial.record.number,
            ),
        )
        self._display.show(progress_html(progress, parts, ranked, self.metric), "  ".join(parts))
