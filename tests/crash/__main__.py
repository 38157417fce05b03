"""`python -m tests.crash --kills 200 --seed 1`: crashes sweeps until so many kills have hit.

The exit code is 0 if every crashed sweep equals its uninterrupted twin, else 1. Linux only: the
processes of a sweep are found in /proc.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from tests.crash.campaign import VARIANTS, Campaign, table


def main() -> int:
    """Runs a campaign with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default: all")
    parser.add_argument("--place", type=Path, help="default: a temporary directory")
    options = parser.parse_args()
    # Background jobs of a shell, and their children, would ignore Ctrl-C; those of nohup, SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    place = options.place or Path(tempfile.mkdtemp(prefix="crash_"))
    place.mkdir(parents=True, exist_ok=True)
    print(f"log and summary: {place}/log.txt, {place}/summary.json", flush=True)
    with (place / "log.txt").open("a", buffering=1) as file:

        def log(text: str) -> None:
            print(datetime.now().strftime("%H:%M:%S"), text, file=file)

        tally = Campaign(place, options.seed, log).run(options.kills, options.variant or VARIANTS)
        text = table(tally)
        log(text)
    print(text)
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
