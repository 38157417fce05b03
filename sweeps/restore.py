"""`python sweeps/restore.py best.pt`: the same as `sweep restore best.pt`, installed or not."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # See run.py: what imports are relative to is the folder above this one.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

    from sweeps.cli.main import main

    main(args=["restore", *sys.argv[1:]], prog_name="python sweeps/restore.py")
