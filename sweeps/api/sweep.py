"""Runs sweeps, loads them and lets them go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.api.models import SweepModels
from sweeps.api.plain_values import to_assignments, to_plain
from sweeps.api.search import Search, to_spec
from sweeps.api.steering import SteerableSweep, id_of
from sweeps.api.trial import Trial
from sweeps.execution.run_options import RunOptions, TrialEvent
from sweeps.results.loaded_sweep import load
from sweeps.results.outcome import Outcome
from sweeps.storage.location import resolve
from sweeps.terminal.console import enable_ray_output, ray_output_enabled
from trainable.artifacts.trial_log import replace_unencodable

OnEpoch = Callable[[Trial, dict[str, Any]], object]
OnTrialEnd = Callable[[Trial], object]


class Sweep(SteerableSweep, SweepModels):
    """A sweep as its files described it when it was loaded. Reading and steering need no Ray.

    `load_sweep` and `run_sweep` return it. In a notebook it is shown as its state, the ten best
    trials and the best score so far.

    Example:
        ```python
        from sweeps import load_sweep

        sweep = load_sweep("experiments/digits_asha")
        print(sweep.best.score, sweep.best.values)
        sweep.trials.plot.scatter("optimizer.learning_rate", "val_acc", logx=True)
        ```
    """

    def reload(self) -> Sweep:
        """Returns the sweep as its files describe it now."""
        return Sweep(load(self.directory), self.grid)

    def wait(self, trial: str | Trial | None = None, *, timeout_s: float | None = None) -> Sweep:
        """Waits until a trial has ended, or the sweep does not run any more.

        Args:
            trial: The trial, also one that was just added, by its whole id or the beginning of
                it. None means to wait for the sweep.
            timeout_s: The longest time to wait in seconds; None means for ever.

        Returns:
            The sweep as it is then.

        Raises:
            SweepError: It takes longer, or several trials match.
        """
        from sweeps.steering.client import refuse_inside_driver
        from sweeps.steering.waiting import wait_until_ended

        refuse_inside_driver("wait")
        files = wait_until_ended(
            self.directory, None if trial is None else id_of(trial), timeout_s
        )
        return Sweep(files, self.grid)

    def resume(
        self,
        *,
        num_samples: int | None = None,
        time_budget: float | str | None = None,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
        on_epoch: OnEpoch | None = None,
        on_trial_end: OnTrialEnd | None = None,
        allow_custom_model: bool = False,
        address: str | None = None,
    ) -> Sweep:
        """Resumes the sweep until it has finished or is paused again, as `sweep resume` does.

        Example:
            ```python
            sweep = sweep.resume(num_samples=32)
            ```

        Args:
            num_samples: New total number of configurations; a finished sweep then goes on.
            time_budget: Budget of this run in seconds, or a text such as `30m`.
            set: Dotted key of the search file -> value, of those that may change on a resume.
            on_epoch: See `run_sweep`.
            on_trial_end: See `run_sweep`.
            allow_custom_model: See `run_sweep`.
            address: See `run_sweep`.

        Returns:
            The sweep as it is then; this object stays as it is.

        Raises:
            TuneSweepsError: Another process runs the sweep, or a setting must not change.
        """
        from sweeps.execution.verbs import resume

        options = _options(on_epoch, on_trial_end, allow_custom_model, address)
        outcome = resume(
            self.directory,
            options,
            assignments=to_assignments(set),
            tune=to_plain({"num_samples": num_samples, "time_budget": time_budget}),
        )
        return _to_sweep(outcome)

    def extend(
        self,
        *,
        epochs: int,
        top: int | None = None,
        trials: str | Trial | Sequence[str | Trial] = (),
        on_epoch: OnEpoch | None = None,
        on_trial_end: OnTrialEnd | None = None,
        allow_custom_model: bool = False,
        address: str | None = None,
    ) -> Sweep:
        """Trains trials of the finished sweep for more epochs, as `sweep extend` does.

        Example:
            ```python
            sweep = sweep.extend(top=3, epochs=50)
            ```

        Args:
            epochs: New total number of epochs.
            top: The number of trials, the best ones.
            trials: A trial or several, or the beginnings of their ids, in the place of `top`.
            on_epoch: See `run_sweep`.
            on_trial_end: See `run_sweep`.
            allow_custom_model: See `run_sweep`.
            address: See `run_sweep`.

        Returns:
            The sweep as it is then; this object stays as it is.

        Raises:
            TuneSweepsError: The sweep has not finished, or a trial cannot be continued.
        """
        from sweeps.execution.verbs import extend

        if (top is None) == (not trials):
            raise TypeError("extend takes either top or trials")
        options = _options(on_epoch, on_trial_end, allow_custom_model, address)
        chosen = [trials] if isinstance(trials, str | Trial) else trials
        outcome = extend(
            self.directory,
            options,
            epochs=to_plain(epochs),
            top=to_plain(top),
            trials=[id_of(trial) for trial in chosen],
        )
        return _to_sweep(outcome)

    def retry(
        self,
        *,
        cause: str | None = None,
        on_epoch: OnEpoch | None = None,
        on_trial_end: OnTrialEnd | None = None,
        allow_custom_model: bool = False,
        address: str | None = None,
    ) -> Sweep:
        """Retries failed trials from their last checkpoint, as `sweep retry` does.

        Args:
            cause: Only retry trials that failed for this cause, such as `oom`.
            on_epoch: See `run_sweep`.
            on_trial_end: See `run_sweep`.
            allow_custom_model: See `run_sweep`.
            address: See `run_sweep`.

        Returns:
            The sweep as it is then, unchanged if no trial has failed so.

        Raises:
            TuneSweepsError: Another process runs the sweep, or there is no such cause.
        """
        from sweeps.execution.verbs import retry

        options = _options(on_epoch, on_trial_end, allow_custom_model, address)
        outcome = retry(self.directory, options, cause=cause)
        return self.reload() if outcome is None else _to_sweep(outcome)


def load_sweep(directory: str | Path) -> Sweep:
    """Loads a sweep from its directory: running, paused, finished or copied from elsewhere.

    A warning is logged about every file that is damaged (`Sweep.damage`).

    Args:
        directory: A path, or a URI in object storage whose files are read from a local mirror.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
        StorageError: The object storage does not respond.
    """
    files = load(resolve(directory))
    for text in files.damage:
        logging.getLogger(__name__).warning("note: %s", text)
    return Sweep(files)


def run_sweep(
    search: str | Path | Mapping[str, Any] | Search,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
    on_epoch: OnEpoch | None = None,
    on_trial_end: OnTrialEnd | None = None,
    allow_custom_model: bool = False,
    address: str | None = None,
) -> Sweep:
    """Runs a new sweep until it has finished or is paused, as `sweep run` does.

    Any thread may call it, one at a time. In the main thread Ctrl-C pauses the sweep, as in a
    notebook the interrupt; in other threads `sweep pause` does. A Ray that runs in this process is
    used and left running; one that the sweep starts ends with it.

    The callbacks run in this process, in the thread that runs the sweep, which waits for them: a
    slow one delays the other trials. One that raises an exception does not affect the sweep: the
    first traceback of each callback is printed, and how often it has failed at the end.

    Example:
        ```python
        from sweeps import run_sweep

        sweep = run_sweep(
            "configs/search.yaml",
            set={"name": "small", "tune.num_samples": 4},
            on_epoch=lambda trial, row: print(trial.id, row["epoch"], row["val_acc"]),
        )
        print(sweep.best.score)
        ```

    Args:
        search: A search file, its plain values, or a `Search`. Paths in plain values are relative
            to the working directory.
        set: Dotted key of the search file -> value that replaces the file's, as with `--set`; keys
            of the training config begin with `config.`.
        on_epoch: Called after each epoch of a trial with the trial and the epoch's metrics by
            name.
        on_trial_end: Called when a trial has finished, was stopped or has failed.
        allow_custom_model: Whether `model.name` and the sampler may be the user's own code.
        address: The address of the Ray cluster to join, or `auto`. None means `RAY_ADDRESS` if it
            is set, else this machine.

    Returns:
        The sweep, with Tune's own `ResultGrid` as `grid`.

    Raises:
        TuneSweepsError: The search file is not valid, the sweep directory already exists, or a
            sweep is running in this process.
    """
    spec = to_spec(search, to_assignments(set))
    options = _options(on_epoch, on_trial_end, allow_custom_model, address)
    from sweeps.execution.launch import start_sweep

    return _to_sweep(start_sweep(spec, options))


def _options(
    on_epoch: OnEpoch | None,
    on_trial_end: OnTrialEnd | None,
    allow_custom_model: bool,
    address: str | None,
) -> RunOptions:
    """Returns how a sweep is run, with callbacks that get a `Trial`."""
    replace_unencodable()
    enable_ray_output(ray_output_enabled())  # before Ray is imported

    def call_epoch(event: TrialEvent) -> None:
        assert on_epoch is not None, "it is not called otherwise"
        on_epoch(_event_trial(event), event.row)

    def call_end(event: TrialEvent) -> None:
        assert on_trial_end is not None, "it is not called otherwise"
        on_trial_end(_event_trial(event))

    return RunOptions(
        allow_custom_model,
        address,
        on_epoch=None if on_epoch is None else call_epoch,
        on_trial_end=None if on_trial_end is None else call_end,
    )


def _event_trial(event: TrialEvent) -> Trial:
    return Trial(event.record, event.directory, event.metric, event.read)


def _to_sweep(outcome: Outcome) -> Sweep:
    """Writes the report of a finished sweep and loads the sweep, as the commands do."""
    from sweeps.execution.verbs import write_final_report

    write_final_report(outcome)
    return Sweep(load(outcome.directory), outcome.grid)
