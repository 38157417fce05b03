"""Runs `sweep restore` without an installation: `python sweeps/restore.py best.pt`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # See run.py: imports are relative to the folder above.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

    from sweeps.cli.main import main

    main(args=["restore", *sys.argv[1:]], prog_name="python sweeps/restore.py")
