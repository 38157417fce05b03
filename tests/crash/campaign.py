"""Crashes sweeps until enough kills have been made, and says what came of it."""

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
    drawn,
    never_interrupted,
    search_file,
)
from tests.crash.kills import RunPlan
from tests.crash.reading import SweepFiles, read_sweep

VARIANTS = ("fifo", "asha", "tpe", "hyperband")
MOST_BAD_SWEEPS = 5


class Campaign:
    """Sweeps that are killed, each compared with the uninterrupted one of its variant.

    Args:
        place: A directory for everything that is written.
        seed: Of what is drawn; the moments of kills depend on the machine besides.
        log: Told what happens.
        twins: Variant -> its uninterrupted sweep, where there is one already.
    """

    def __init__(
        self, place: Path, seed: int, log: Log, twins: Mapping[str, SweepFiles] | None = None
    ) -> None:
        self._place, self._seed, self._log = place, seed, log
        self._twins = dict(twins or {})
        self.tally = Tally()

    def run(self, kills: int, variants: Iterable[str] = VARIANTS) -> Tally:
        """Crashes sweeps of the variants in turn until so many kills have been made."""
        names = list(variants)
        number, bad = 0, 0

        def draw(rng: random.Random, workers: int) -> RunPlan | None:
            return drawn(rng, workers) if self.tally.killed < kills else None

        while self.tally.killed < kills and bad < MOST_BAD_SWEEPS:
            bad += not self.crash(names[number % len(names)], number, draw)
            number += 1
            self._write_summary()
        return self.tally

    def crash(self, variant: str, number: int, draw: Draw) -> bool:
        """Crashes one sweep; returns whether nothing was wrong with it."""
        twin = self._twin(variant)
        place = self._place / f"{number:03d}_{variant}"
        rng = random.Random(f"{self._seed} {number}")
        self._log(f"sweep {number}: {variant}, {self.tally.killed} kills so far")
        sweep = self._sweep(variant, place, rng)
        good = sweep.until_finished(draw)
        if good:
            differences = _against(twin, sweep.directory, _order(variant))
            for text in differences:
                self._log(f"DIFFERENCE {sweep.directory}: {text}")
            self.tally.differences += [f"{sweep.directory}: {text}" for text in differences]
            good = not differences
        self.tally.sweeps[variant] += 1
        if good:
            shutil.rmtree(place)
        return good

    def _twin(self, variant: str) -> SweepFiles:
        """The variant's uninterrupted sweep."""
        if variant not in self._twins:
            place = self._place / f"twin_{variant}"
            self._log(f"{variant}, uninterrupted")
            sweep = self._sweep(variant, place, random.Random(0))
            if not sweep.until_finished(never_interrupted):
                raise RuntimeError(f"the uninterrupted sweep failed; see {place}")
            self._twins[variant] = read_sweep(sweep.directory)
            self._check_twin(variant)
        return self._twins[variant]

    def _check_twin(self, variant: str) -> None:
        """An uninterrupted sweep must agree with itself, or nothing is shown by comparing."""
        twin = self._twins[variant]
        for text in compare(twin, twin, "all"):
            self.tally.differences.append(f"{variant}, uninterrupted: {text}")

    def _sweep(self, variant: str, place: Path, rng: random.Random) -> CrashedSweep:
        place.mkdir(parents=True)
        return CrashedSweep(variant, place, rng, self.tally, self._log)

    def _write_summary(self) -> None:
        text = json.dumps(summary(self.tally, self._seed), indent=2)
        (self._place / "summary.json").write_text(text + "\n")


def _against(twin: SweepFiles, directory: Path, order: Order) -> list[str]:
    try:
        found = read_sweep(directory)
    except UNREADABLE as error:
        return [f"cannot be read: {error}"]
    return compare(found, twin, order)


def _order(variant: str) -> Order:
    """Which events come in an order that the machine has no part in."""
    tune = yaml.safe_load(search_file(variant).read_text())["tune"]
    if tune.get("scheduler", {}).get("name") == "hyperband":
        return "none"  # the last trial of a bracket goes on where the others pause
    return "all" if tune["max_concurrent_trials"] == 1 else "each trial's"


def summary(tally: Tally, seed: int) -> dict[str, object]:
    """The figures of a campaign as plain values."""
    data = dict(vars(tally))
    lost = data.pop("lost")
    data["lost_epochs"] = {
        "trials": len(lost),
        "max": max(lost, default=0),
        "mean": round(sum(lost) / max(1, len(lost)), 2),
    }
    return {"seed": seed, "kills_in_all": tally.killed, **data}


def table(tally: Tally) -> str:
    """The figures of a campaign, a line each."""
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
        f"{'resumes':<28}{tally.resumes:>6}  {tally.at_once} of them beside living old processes",
        f"{'epochs lost a kill and trial':<28}{max(lost, default=0):>6}  at most, mean {mean:.2f}",
        f"{'differences':<28}{len(tally.differences):>6}",
        *(f"  {text}" for text in tally.differences[:20]),
    ]
    return "\n".join(lines)
