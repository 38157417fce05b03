"""Effects of accepted requests that give a running sweep more trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sweeps.execution.recorder import RecordWriter
from sweeps.execution.restore_trials import TrialRestorer
from sweeps.execution.trial_source import TrialSource
from sweeps.steering.additions import is_retried, to_configuration
from sweeps.steering.inbox import Effect
from sweeps.steering.request import Judgement, Verb
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.console import print_line
from trainable.errors import TuneSweepsError


class AdditionControl:
    """Adds configurations, reserves suggestions and retries failed trials.

    Args:
        source: The source of trials.
        writer: Writes the records.
        find_state: Finds the state from which a trial continues.
        forget_end: Called with the id of an ended trial that trains again.
        change_total: Called when the sweep has more trials than before.
    """

    def __init__(
        self,
        source: TrialSource,
        writer: RecordWriter,
        find_state: Callable[[TrialRecord], TrialRestorer],
        forget_end: Callable[[str], None],
        change_total: Callable[[], None],
    ) -> None:
        self._source = source
        self._writer = writer
        self._find_state = find_state
        self._forget_end = forget_end
        self._change_total = change_total

    @property
    def effects(self) -> Mapping[Verb, Effect]:
        """The effect of each verb."""
        return {"add": self._add, "suggest": self._suggest, "retry": self._retry}

    def _add(self, judgement: Judgement) -> None:
        self._source.add(to_configuration(judgement.values))
        self._writer.sweep.added += 1
        self._change_total()
        self._writer.write_sweep()

    def _suggest(self, judgement: Judgement) -> None:
        self._source.note_reserved(judgement.values["number"])

    def _retry(self, judgement: Judgement) -> None:
        """Puts a trial back to work from its last checkpoint, as a resume does."""
        record = self._writer.trials[judgement.trial or ""]
        if not is_retried(judgement, record):
            return
        ended = record.ended
        record.reopen(judgement.values["failures"])
        try:
            restorer = self._find_state(record)
            self._forget_end(record.id)
            if record.state not in ENDED:
                self._source.retry(record, restorer.restore_checkpoint)
        except TuneSweepsError as error:
            record.state, record.ended = "failed", ended
            print_line(f"note: trial {record.id} is not retried: {error}")
        self._writer.write_trial(record)
