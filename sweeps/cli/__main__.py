"""Runs `sweep` without an installation: `python sweeps/cli status experiments/digits_asha`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # See sweeps/run.py: imports are relative to the folder above the packages.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

    from sweeps.cli.main import main

    main(prog_name="python sweeps/cli")
