"""Steering a sweep from Python: the same requests as those of the commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.api.files import SweepFiles
from sweeps.api.plain_values import to_plain
from sweeps.api.trial import Trial
from sweeps.steering.request import Verb


@dataclass(frozen=True)
class Suggestion:
    """A configuration that a sweep's searcher has suggested."""

    number: int
    """The number of the configuration."""
    values: dict[str, Any]
    """Dotted key of the training config -> value."""


class SteerableSweep(SweepFiles):
    """The part of `Sweep` that sends requests to the process that runs the sweep.

    A sweep that does not run carries them out here and now. In a callback of `run_sweep` they are
    carried out when the callback has returned, and a refusal is printed, not raised; `suggest` and
    `add` are not available there.
    """

    def pause(self) -> bool:
        """Asks the sweep to pause, as `sweep pause` does; running trials finish their epoch.

        `wait` returns when it has paused, `resume` resumes it.

        Returns:
            Whether the sweep was running; if not, nothing is changed.
        """
        from sweeps.steering.sweep_pause import request_pause

        return request_pause(self.directory)

    def suggest(self) -> Suggestion:
        """Takes the searcher's next suggestion of a running sweep, which then goes on behind it.

        Returns:
            The suggestion, for `add`. The searcher learns of it only if it is added.

        Raises:
            SweepError: The sweep does not run, or there is no suggestion for it.
        """
        answer = self._request("suggest")
        return Suggestion(answer["number"], answer["values"])

    def add(
        self,
        config: Mapping[str, Any] | Suggestion | None = None,
        *,
        like: str | Trial | None = None,
        from_trial: str | Trial | None = None,
    ) -> str:
        """Adds a configuration by hand, which is the next one to be trained.

        Args:
            config: Dotted key of the training config -> value, or what `suggest` has returned.
            like: The trial whose values the other keys of the space have; None means the values
                of the search file's `config`.
            from_trial: The trial whose `best.pt`, else `latest.pt`, has the weights to start from.

        Returns:
            The id of the new trial; with `tune.repeats`, of the first one.

        Raises:
            SweepError: It is refused; the text lists all problems.
        """
        arguments: dict[str, Any] = {}
        if isinstance(config, Suggestion):
            arguments["suggestion"] = config.number
        elif config:
            arguments["set"] = to_plain(config)
        if like is not None:
            arguments["like"] = id_of(like)
        if from_trial is not None:
            arguments["from"] = id_of(from_trial)
        return str(self._request("add", arguments=arguments)["trials"][0])

    def stop_trial(self, trial: str | Trial) -> None:
        """Stops a trial for good after its epoch, as `sweep trial stop` does.

        Raises:
            SweepError: It is refused.
        """
        self._request("stop", trial)

    def pause_trial(self, trial: str | Trial) -> None:
        """Pauses a trial after its epoch until `resume_trial`, as `sweep trial pause` does.

        Raises:
            SweepError: It is refused.
        """
        self._request("pause", trial)

    def resume_trial(self, trial: str | Trial) -> None:
        """Lets a trial go on that was paused by hand.

        Raises:
            SweepError: It is refused.
        """
        self._request("resume", trial)

    def retry_trial(self, trial: str | Trial) -> None:
        """Retries a failed trial from its last checkpoint.

        Raises:
            SweepError: It is refused.
        """
        self._request("retry", trial)

    def set(self, settings: Mapping[str, Any]) -> None:
        """Changes settings of the sweep, such as `tune.num_samples`, as `sweep set` does.

        Args:
            settings: Dotted key of the search file -> value.

        Raises:
            SweepError: It is refused.
        """
        self._request("set", arguments=to_plain(settings))

    def _request(
        self,
        verb: Verb,
        trial: str | Trial | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Sends a request, to whichever process runs the sweep; returns the answer's values."""
        from sweeps.steering.client import send

        answer = send(self.directory, verb, None if trial is None else id_of(trial), arguments)
        return {} if answer is None else answer.values


def id_of(trial: str | Trial) -> str:
    """Returns the id of a trial, or the text that stands for it."""
    return trial if isinstance(trial, str) else trial.id
