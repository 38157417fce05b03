"""Runs `sweep run` without an installation: `python sweeps/run.py search.yaml`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts this script's folder first on the path, where our packages would shadow
    # top-level modules with the same names. Imports are relative to the folder above.
    root = str(Path(__file__).resolve().parent.parent)
    sys.path[0] = root

    from sweeps.cli.main import main

    main(args=["run", *sys.argv[1:]], prog_name="python sweeps/run.py")
