"""The verb that looks for sweeps: list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sweeps.cli.options import AS_JSON, FINISHED, PLACE, exits
from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SWEEP_FILE
from sweeps.terminal.console import print_json, print_line, print_table
from sweeps.terminal.formatting import format_metric, make_table
from trainable.errors import TuneSweepsError


@click.command("list")
@click.argument("directory", type=PLACE, default=Path("experiments"))
@AS_JSON
@exits
def list_(directory: Path, as_json: bool) -> int:
    """Lists the sweeps in DIRECTORY, by default experiments/, the newest first.

    Example: sweep list experiments
    """
    if not directory.is_dir():
        raise SweepError(f"{directory}: there is no such directory")
    found = [_listed(path.parent) for path in directory.glob(f"*/{SWEEP_FILE}")]
    found.sort(key=lambda entry: str(entry["started"]), reverse=True)
    if as_json:
        print_json(found)
        return FINISHED
    if not found:
        print_line(f"no sweeps in {directory}")
        return FINISHED
    drawn = make_table("sweep", "state", "trials", "metric", "best", "trial", "started")
    for entry in found:
        done = "" if "error" in entry else f"{entry['ended']}/{entry['total']}"
        best = entry.get("best") or {}
        drawn.add_row(
            str(entry["name"]),
            str(entry["state"]),
            done,
            str(entry.get("metric", "")),
            format_metric(best, "value") if best else "-",
            str(best.get("trial", "-")),
            str(entry["started"] or "").replace("T", " ")[:16],
        )
    print_table(drawn)
    for entry in found:
        if "error" in entry:
            print_line(f"{entry['name']}: {entry['error']}")
    return FINISHED


def _listed(directory: Path) -> dict[str, Any]:
    """What a list has of one sweep; a broken one is listed with what is wrong."""
    try:
        sweep = load(directory)
    except TuneSweepsError as error:
        text = str(error)
        return {"name": directory.name, "state": "broken", "started": None, "error": text}
    return {
        "name": sweep.record.name,
        "directory": str(directory),
        "state": sweep.state,
        "started": sweep.record.started,
        "trials": dict(sweep.states),
        "ended": sweep.ended,
        "total": sweep.total,
        "metric": sweep.metric,
        "best": sweep.best_values(),
    }
