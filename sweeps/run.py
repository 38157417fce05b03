"""`python sweeps/run.py search.yaml`: the same as `sweep run search.yaml`, installed or not."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run as a script, Python puts this folder on the path, where every module would shadow a
    # top-level one of its name; the folder above it is what imports are relative to.
    root = str(Path(__file__).resolve().parent.parent)
    sys.path[0] = root

    from sweeps.cli.main import main

    main(args=["run", *sys.argv[1:]], prog_name="python sweeps/run.py")
