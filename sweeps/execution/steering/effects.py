"""Effects of accepted requests in the driver of a running sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sweeps.execution.recorder import RecordWriter
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.spec.search_spec import SearchSpec
from sweeps.steering.control import changed_spec
from sweeps.steering.inbox import Effect
from sweeps.steering.offline import write_settings
from sweeps.steering.request import EPOCH, Judgement, Verb
from sweeps.trackers.switch import trackers_of


class TrialControl:
    """Stops, holds and releases trials.

    Args:
        scheduler: The sweep's scheduler.
        writer: Writes the records.
    """

    def __init__(self, scheduler: RecordingScheduler, writer: RecordWriter) -> None:
        self._by_hand = scheduler.by_hand
        self._writer = writer

    @property
    def effects(self) -> Mapping[Verb, Effect]:
        """The effect of each verb."""
        return {"stop": self.stop, "pause": self.pause, "resume": self.resume}

    def stop(self, judgement: Judgement) -> None:
        """Has a trial stopped at its next epoch; at once if it waits."""
        self._by_hand.stop(_trial_of(judgement), judgement.values.get(EPOCH, 0))
        self._note_held(judgement, held=False)

    def pause(self, judgement: Judgement) -> None:
        """Holds a trial from its next epoch on; at once if it waits."""
        self._by_hand.hold(_trial_of(judgement), judgement.values.get(EPOCH, 0))
        self._note_held(judgement, held=True)

    def resume(self, judgement: Judgement) -> None:
        """Lets a held trial go on."""
        self._by_hand.release(_trial_of(judgement))
        self._note_held(judgement, held=False)

    def _note_held(self, judgement: Judgement, *, held: bool) -> None:
        record = self._writer.trials[_trial_of(judgement)]
        if record.held != held:
            record.held = held
            self._writer.write_trial(record)


class SettingsControl:
    """Changes the settings of the sweep.

    Args:
        spec: Returns the current search file of this run.
        writer: Writes the sweep's record.
        change: Gives every part of the run the new search file.
    """

    def __init__(
        self,
        spec: Callable[[], SearchSpec],
        writer: RecordWriter,
        change: Callable[[SearchSpec], None],
    ) -> None:
        self._spec = spec
        self._writer = writer
        self._change = change

    @property
    def effects(self) -> Mapping[Verb, Effect]:
        """The effect of each verb."""
        return {"set": self.set}

    def set(self, judgement: Judgement) -> None:
        """Writes new settings into `search.yaml` and applies them."""
        write_settings(self._writer.layout, self._writer.sweep, judgement)
        spec = changed_spec(self._spec(), judgement.values)
        self._change(spec)
        trackers = trackers_of(self._writer.layout.directory)
        if trackers is not None:
            trackers.configure(spec)


def _trial_of(judgement: Judgement) -> str:
    assert judgement.trial is not None, "the judgement of such a request names a trial"
    return judgement.trial
