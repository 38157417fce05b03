"""Remembers what ran out of memory, so that later trials of that size need not fail first.

The facts are in the user's file, for other sweeps, and in the sweep's event log, so that a resumed
sweep decides as one that was never interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.cluster.session import machines, run_on_gpu
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.event_log import Event
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import Failure, TrialRecord, now
from sweeps.terminal.commands import quote_word
from sweeps.terminal.console import print_line
from sweeps.trials.failures import (
    ACCUMULATION_STEPS,
    BATCH_SIZE,
    describe_parts,
    halve_batches,
    read_batches,
)
from sweeps.trials.memory_facts import (
    MemoryFact,
    MemoryFile,
    Outcome,
    find_failure,
    parse_fact,
    setting_of,
)
from trainable.data.cache.memory import name_machine
from trainable.trial_settings import SETTINGS

DEVICE_LINE = re.compile(
    r"^\s*on (?P<device>.+ \([\d.]+ GiB\)), of which this process may use (?P<share>[\d.e-]+) % "
    r"and could use (?P<usable>[\d.e-]+) %\s*$",
    re.MULTILINE,
)
"""The line that `trainable.training.device.naming_device` adds to an error."""
LEAST_USABLE = 0.9
"""Part of its share of a GPU that a trial must have been able to use: with less, other processes
used the rest, and the failure says nothing about the next time."""
LEAST_USABLE_ON_CPU = 0.5
"""Part of main memory that a trial must have been able to use; Ray and the driver need some."""
LOOK_UP_S = 60.0
"""Longest wait for the name of a GPU."""

FindDevice = Callable[[str | None], str | None]
"""Returns the device that all trials train on, given what one has reported of its own, if any has;
None if there are several kinds."""


class OomMemory:
    """Facts about the memory of this sweep's trainings, and what follows from them for trials.

    Args:
        policy: The search file's `failure`, which may change while the sweep runs.
        sweep: The name of the sweep.
        share: Share of a GPU, or number of GPUs, of a trial; None where several trials share a
            process, so that none has a share of its own: nothing is remembered there.
        append: Appends an event to the sweep's log.
        find_device: Called if the user's file may have facts for this sweep.
        model: The model of all trials; None if they may differ.
        file: The user's file.
    """

    def __init__(
        self,
        policy: FailurePolicy,
        sweep: str,
        share: float | None,
        append: Callable[[Event], None],
        find_device: FindDevice,
        *,
        model: str | None = None,
        file: MemoryFile | None = None,
    ) -> None:
        self.policy = policy
        self._sweep = sweep
        self._share = share
        self._append = append
        self._find_device = find_device
        self._file = file or MemoryFile()
        self._remembered: list[MemoryFact] = []
        """The facts of the user's file that may concern this sweep."""
        self._facts: dict[str, list[MemoryFact]] = {}
        """Setting -> the facts in the sweep's log, in order."""
        self._settings: set[str] = set()
        """Settings for which the user's file is not consulted any more."""
        self._device: str | None = None
        if self._is_on:
            facts, damaged = self._file.read()
            if damaged:
                print_line(f"note: {self._file.path}: lines that cannot be read: {damaged}")
            self._remembered = [fact for fact in facts if model in {None, fact.model}]
        if self._remembered:
            self._device = find_device(None)

    def replay(self, events: Iterable[Event]) -> None:
        """Takes the facts that earlier runs of the sweep have logged."""
        for event in events:
            if event.kind == "memory":
                fact = parse_fact(event.memory)
                self._facts.setdefault(fact.setting, []).append(fact)
                self._settings.add(fact.setting)
        if self._facts and self._device is None:  # the sweep may run on another machine now
            self._device = self._find_device(None)

    def add_recorded(self, configs: Iterable[Mapping[str, Any]]) -> None:
        """Takes the configs of recorded trials, for which earlier runs have read the user's file.

        Facts that the file has got since then do not change what the sweep does.
        """
        if self._remembered:
            self._settings |= {setting_of(config) for config in configs}

    @property
    def _is_on(self) -> bool:
        return self.policy.oom_memory and self._share is not None

    def prepare(self, record: TrialRecord, config: dict[str, Any]) -> bool:
        """Gives a new trial smaller parts of its batches if as large ones ran out of memory.

        With `failure.oom: give_up` the trial is recorded as failed, unless it was added by hand.

        Args:
            record: The trial's record, which is changed.
            config: The trial's training config.

        Returns:
            Whether the trial has another config now.
        """
        if self._share is None or not self._is_on or not (self._remembered or self._facts):
            return False
        failure = self._find_failure(config, self._share)
        if failure is None:
            return False
        if self.policy.oom == "give_up":
            if record.added:
                return False
            text = f"skipped, because {self._describe(failure)}"
            record.failures.append(Failure("oom", text, "", epoch=0, checkpoint=None, time=now()))
            record.state, record.ended = "failed", now()
            print_line(f"trial {record.id} is {text}")
            return False
        smaller = _halve_until(config, failure.images)
        if smaller is config:
            return False
        record.changes[ACCUMULATION_STEPS] = read_batches(smaller)[1]
        self._print_parts(record.id, smaller, failure)
        return True

    def shrink(self, config: dict[str, Any]) -> dict[str, Any]:
        """Returns a trial's config for a retry, with parts that are not known to be too large."""
        if not self._is_on or not self._facts:
            return config
        failure = self._find_failure(config, config[SETTINGS]["gpu"])
        return config if failure is None else _halve_until(config, failure.images)

    def _find_failure(self, config: Mapping[str, Any], gpu: float) -> MemoryFact | None:
        """Returns the failure that a config would repeat on a share of a GPU; None without one."""
        share = _used_share(gpu, self._device)
        return find_failure(self._facts_of(setting_of(config)), share, _images(config))

    def _print_parts(self, trial: str, config: dict[str, Any], failure: MemoryFact) -> None:
        print_line(
            f"trial {trial} runs its batches of {describe_parts(*read_batches(config))}, "
            f"because {self._describe(failure)}"
        )

    def adapt_exploit(
        self, trial: str, config: dict[str, Any], donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns a recipient's config without batches that are known to be too large.

        Its batch size may be larger than its donor's. It then runs smaller parts, or has its
        donor's size with `failure.oom: give_up`.

        Args:
            trial: The recipient's id.
            config: The config that PBT has chosen for it.
            donor: The config of its donor.
        """
        if not self._is_on or not (self._remembered or self._facts):
            return config
        failure = self._find_failure(config, config[SETTINGS]["gpu"])
        if failure is None:
            return config
        if self.policy.oom == "give_up":
            keys = (BATCH_SIZE, ACCUMULATION_STEPS)
            smaller = {**config, **{key: donor[key] for key in keys if key in donor}}
        else:
            smaller = _halve_until(config, failure.images)
        self._print_parts(trial, smaller, failure)
        return smaller

    def note_failure(self, trial: str, config: Mapping[str, Any], failure: Failure) -> None:
        """Remembers that a trial ran out of memory, unless other processes used the device.

        Args:
            trial: The trial's id.
            config: The config that it was trained with.
            failure: Its failure, of any cause.
        """
        line = DEVICE_LINE.search(failure.traceback)
        if not self._is_on or failure.cause != "oom" or line is None:
            return
        least = LEAST_USABLE_ON_CPU if _is_cpu(line["device"]) else LEAST_USABLE
        if float(line["usable"]) < least * float(line["share"]):
            return
        self._device = self._device or self._find_device(line["device"])
        fact = self._new_fact("failed", line["device"], trial, config)
        if find_failure(self._facts_of(fact.setting), fact.share, fact.images) is None:
            self._add(fact)

    def note_epoch(self, trial: str, config: Mapping[str, Any]) -> None:
        """Remembers that a trial completed an epoch, if it should have run out of memory."""
        if not self._is_on or not self._facts or self._device is None:
            return
        fact = self._new_fact("completed", self._device, trial, config)
        if find_failure(self._facts_of(fact.setting), fact.share, fact.images) is not None:
            self._add(fact)

    def _new_fact(
        self, outcome: Outcome, device: str, trial: str, config: Mapping[str, Any]
    ) -> MemoryFact:
        return MemoryFact(
            outcome=outcome,
            setting=setting_of(config),
            model=config["model"]["name"],
            device=device,
            share=_used_share(config[SETTINGS]["gpu"], device),
            images=_images(config),
            sweep=self._sweep,
            trial=trial,
            time=now(),
        )

    def _facts_of(self, setting: str) -> list[MemoryFact]:
        """Returns the facts on trainings like this one on this sweep's device.

        Those of the user's file are logged when they are first needed.
        """
        if setting not in self._settings:
            self._settings.add(setting)
            for fact in self._remembered:
                if (fact.setting, fact.device) == (setting, self._device):
                    self._log(fact)
        return [f for f in self._facts.get(setting, []) if f.device == self._device]

    def _add(self, fact: MemoryFact) -> None:
        self._log(fact)
        try:
            self._file.append(fact)
        except OSError as error:
            print_line(
                f"note: {self._file.path} cannot be written ({error.strerror}): other sweeps do "
                "not learn what ran out of memory here"
            )

    def _log(self, fact: MemoryFact) -> None:
        self._append(Event("memory", trial="", memory=asdict(fact)))
        self._facts.setdefault(fact.setting, []).append(fact)

    def _describe(self, fact: MemoryFact) -> str:
        """Returns what ran out of memory, where, and how to forget it."""
        share = "" if fact.share == 1 else f"{fact.share:g} of "
        where = f"trial {fact.trial}" + ("" if fact.sweep == self._sweep else f" of {fact.sweep}")
        return (
            f"{fact.images} images at once ran out of memory on {share}{fact.device} in {where} "
            f"(to ignore this: failure.oom_memory: false; to forget it for later sweeps: "
            f"rm {quote_word(self._file.path)})"
        )


def open_memory(
    spec: SearchSpec,
    layout: SweepLayout,
    share: Mapping[str, float],
    append: Callable[[Event], None],
    events: Iterable[Event],
) -> OomMemory:
    """Opens the memory of a sweep.

    Args:
        spec: The search file.
        layout: The sweep's directory.
        share: CPUs and GPUs of one trial.
        append: Appends an event to the sweep's log.
        events: The log.
    """
    memory = OomMemory(
        spec.failure,
        layout.directory.name,
        None if spec.resources.process == "shared" else share["gpu"],
        append,
        partial(find_device, share),
        model=None if "model.name" in spec.space else spec.training.model.name,
    )
    memory.replay(events)
    return memory


def find_device(share: Mapping[str, float], reported: str | None) -> str | None:
    """Returns the device that all trials of a sweep train on; None if it is not known.

    Args:
        share: CPUs and GPUs of one trial.
        reported: What a trial has reported of its own device; a GPU is then not asked.
    """
    nodes = machines()
    kinds = {name for node in nodes for name in node if name.startswith("accelerator_type:")}
    if len(kinds) > 1 or (len(nodes) > 1 and not share["gpu"]):
        return None
    if reported is not None:
        return reported
    if not share["gpu"]:
        return name_machine()
    if ray.available_resources().get("GPU", 0.0) < 1:  # others have them: it would wait for one
        return None
    from trainable.training.device import name_own_device  # imports torch

    try:
        return run_on_gpu(name_own_device, LOOK_UP_S)
    except (GetTimeoutError, RuntimeError):  # no GPU is free as a whole, or it has no memory left
        return None


class OomMemoryCallback(Callback):
    """Reports completed epochs to the memory.

    Args:
        memory: The sweep's memory.
    """

    def __init__(self, memory: OomMemory) -> None:
        self._memory = memory

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Takes an epoch with the config that it was trained with."""
        del iteration, trials, info
        self._memory.note_epoch(trial.trial_id, result.get("config") or trial.config)


def _used_share(gpu: float, device: str | None) -> float:
    """Returns the share of a device's memory that a trial with so many GPUs may use."""
    return 1.0 if device is not None and _is_cpu(device) else min(float(gpu), 1.0)


def _is_cpu(device: str) -> bool:
    return device.startswith("cpu ")


def _halve_until(config: dict[str, Any], images: int) -> dict[str, Any]:
    """Returns a config that runs fewer images at once, or as few as it can."""
    while _images(config) >= images:
        halved = halve_batches(config)
        if halved is None:
            break
        config = halved
    return config


def _images(config: Mapping[str, Any]) -> int:
    """Returns the number of images that a training runs at once."""
    batch_size, parts = read_batches(dict(config))
    return -(-batch_size // parts)
