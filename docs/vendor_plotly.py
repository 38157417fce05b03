"""Puts plotly.js, which draws the charts of `report.html`, into `sweeps/report/assets`.

Usage: python docs/vendor_plotly.py

Needs npm. The file is the package `plotly.js-basic-dist-min` of that version, unchanged: it has
the traces scatter, bar and pie. Another version needs its own `VERSION` and `INTEGRITY`, which
`npm view plotly.js-basic-dist-min@VERSION dist.integrity` prints.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "plotly.js-basic-dist-min"
VERSION = "4.1.1"
INTEGRITY = (
    "sha512-1oNF8PeQx2hv/y7tqEVWKD3JGwn/MGEMQ8mL9HUwsaqG9FGy/OU5FHUHvzqbqxN4mnwZGI9abTiE775C4"
    "kkjMQ=="
)
ASSETS = Path(__file__).parents[1] / "sweeps" / "report" / "assets"
FILES = {
    "package/plotly-basic.min.js": "plotly-basic.min.js",
    "package/LICENSE": "plotly-LICENSE.txt",
}
"""Name in the package -> name in `ASSETS`."""


def main() -> None:
    """Downloads the package, checks it and writes its files."""
    with tempfile.TemporaryDirectory() as directory:
        words = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        subprocess.run(words, cwd=directory, check=True)
        (archive,) = Path(directory).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY:
            raise SystemExit(f"{archive.name} is not the file that INTEGRITY names")
        with tarfile.open(archive) as files:
            for member, name in FILES.items():
                content = files.extractfile(member)
                assert content is not None, member
                (ASSETS / name).write_bytes(content.read())


if __name__ == "__main__":
    main()
