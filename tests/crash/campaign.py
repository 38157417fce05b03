"""Crashes sweeps until enough kills have hit, and reports the differences."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from tests.crash.checks import UNREADABLE, Order, compare
from tests.crash.harness import (
    CrashedSweep,
    Draw,
    Log,
    Tally,
    draw_interruptions,
    never_interrupt,
    search_file,
)
from tests.crash.kills import RunPlan
from tests.crash.reading import SweepFiles, read_sweep

VARIANTS = ("fifo", "asha", "tpe", "hyperband")
MAX_BAD_SWEEPS = 5
"""The campaign ends early after so many sweeps with differences."""


class Campaign:
    """Sweeps that are killed, each compared with the uninterrupted one of its variant.

    Args:
        place: A directory for all files.
        seed: The seed of the interruptions; the moments of kills also depend on the machine.
        log: Called with a line for every event.
        twins: Variant -> its uninterrupted sweep, where one exists already.
    """

    def __init__(
        self, place: Path, seed: int, log: Log, twins: Mapping[str, SweepFiles] | None = None
    ) -> None:
        self._place, self._seed, self._log = place, seed, log
        self._twins = dict(twins or {})
        self.tally = Tally()

    def run(self, kills: int, variants: Iterable[str] = VARIANTS) -> Tally:
        """Crashes sweeps of the variants in turn until so many kills have hit."""
        names = list(variants)
        number, bad = 0, 0

        def draw(rng: random.Random, workers: int) -> RunPlan | None:
            return draw_interruptions(rng, workers) if self.tally.killed < kills else None

        while self.tally.killed < kills and bad < MAX_BAD_SWEEPS:
            bad += not self.crash(names[number % len(names)], number, draw)
            number += 1
            self._write_summary()
        return self.tally

    def crash(self, variant: str, number: int, draw: Draw) -> bool:
        """Crashes one sweep; returns whether it equals its twin."""
        twin = self._twin(variant)
        place = self._place / f"{number:03d}_{variant}"
        rng = random.Random(f"{self._seed} {number}")
        self._log(f"sweep {number}: {variant}, {self.tally.killed} kills so far")
        sweep = self._sweep(variant, place, rng)
        good = sweep.until_finished(draw)
        if good:
            differences = _compare_with(twin, sweep.directory, _order(variant))
            for text in differences:
                self._log(f"DIFFERENCE {sweep.directory}: {text}")
            self.tally.differences += [f"{sweep.directory}: {text}" for text in differences]
            good = not differences
        self.tally.sweeps[variant] += 1
        if good:
            shutil.rmtree(place)
        return good

    def _twin(self, variant: str) -> SweepFiles:
        """Returns the variant's uninterrupted sweep, and runs it the first time."""
        if variant not in self._twins:
            place = self._place / f"twin_{variant}"
            self._log(f"{variant}, uninterrupted")
            sweep = self._sweep(variant, place, random.Random(0))
            if not sweep.until_finished(never_interrupt):
                raise RuntimeError(f"the uninterrupted sweep failed; see {place}")
            self._twins[variant] = read_sweep(sweep.directory)
            self._check_twin(variant)
        return self._twins[variant]

    def _check_twin(self, variant: str) -> None:
        """Compares an uninterrupted sweep with itself; otherwise comparisons show nothing."""
        twin = self._twins[variant]
        for text in compare(twin, twin, "all"):
            self.tally.differences.append(f"{variant}, uninterrupted: {text}")

    def _sweep(self, variant: str, place: Path, rng: random.Random) -> CrashedSweep:
        place.mkdir(parents=True)
        return CrashedSweep(variant, place, rng, self.tally, self._log)

    def _write_summary(self) -> None:
        text = json.dumps(summary(self.tally, self._seed), indent=2)
        (self._place / "summary.json").write_text(text + "\n")


def _compare_with(twin: SweepFiles, directory: Path, order: Order) -> list[str]:
    try:
        sweep = read_sweep(directory)
    except UNREADABLE as error:
        return [f"cannot be read: {error}"]
    return compare(sweep, twin, order)


def _order(variant: str) -> Order:
    """Returns which events have an order that does not depend on the machine."""
    tune = yaml.safe_load(search_file(variant).read_text())["tune"]
    if tune.get("scheduler", {}).get("name") == "hyperband":
        return "none"  # which trial of a bracket is the last, and does not pause, varies
    return "all" if tune["max_concurrent_trials"] == 1 else "each trial's"


def summary(tally: Tally, seed: int) -> dict[str, object]:
    """Returns the figures of a campaign as plain values."""
    data = dict(vars(tally))
    lost = data.pop("lost")
    data["lost_epochs"] = {
        "trials": len(lost),
        "max": max(lost, default=0),
        "mean": round(sum(lost) / max(1, len(lost)), 2),
    }
    return {"seed": seed, "kills_in_all": tally.killed, **data}


def table(tally: Tally) -> str:
    """Formats the figures of a campaign, one per line."""
    lost = tally.lost
    mean = sum(lost) / max(1, len(lost))
    lines = [f"{'kills (SIGKILL)':<28}{tally.killed:>6}"]
    lines += [f"  {kind:<26}{count:>6}" for kind, count in sorted(tally.kills.items())]
    lines += [f"    {kind:<24}{count:>6}" for kind, count in sorted(tally.faults.items())]
    lines += [f"{'pauses (signals)':<28}{tally.pauses.total():>6}"]
    lines += [f"  {kind:<26}{count:>6}" for kind, count in sorted(tally.pauses.items())]
    lines += [f"{'files damaged':<28}{tally.damages.total():>6}"]
    lines += [f"  {kind:<26}{count:>6}" for kind, count in sorted(tally.damages.items())]
    sweeps = ", ".join(f"{name} {count}" for name, count in sorted(tally.sweeps.items()))
    lines += [
        f"{'sweeps compared':<28}{tally.sweeps.total():>6}  {sweeps}",
        f"{'resumes':<28}{tally.resumes:>6}  {tally.beside_old} beside living old processes",
        f"{'epochs lost a kill and trial':<28}{max(lost, default=0):>6}  at most, mean {mean:.2f}",
        f"{'differences':<28}{len(tally.differences):>6}",
        *(f"  {text}" for text in tally.differences[:20]),
    ]
    return "\n".join(lines)
