"""The names in the tables of docs/reference/files.md and checkpoint_format.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PLACEHOLDERS = {
    "MODEL_DATASET_DATE_TIME_ID": r"\w+_\d{8}_\d{6}_[0-9a-f]{8}",
    "NUMBER": r"\d+",
    "ID": r"\d{13}-[0-9a-f]{8}",
    "N+": r"\d+",
    r"\*": r".*",
}
"""Part of a name on the page -> what it stands for."""


def first_columns(page: str) -> dict[str, list[str]]:
    """Returns heading -> the names in backticks in the first column of its table.

    Args:
        page: Name of a page of the reference.
    """
    heading = ""
    columns: dict[str, list[str]] = {}
    for line in (REFERENCE / page).read_text("utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").replace("`", "")
        elif line.startswith("| `"):
            cell = line.split(" | ")[0]
            columns.setdefault(heading, []).extend(re.findall(r"`([^`]+)`", cell))
    return columns


def undocumented(directory: Path) -> list[str]:
    """Returns the files of a sweep's directory that files.md lacks, relative to it."""
    columns = first_columns("files.md")
    sweep, trial = columns["A sweep's directory"], columns["A trial's directory"]
    trial_directory = next(name for name in sweep if name.startswith("MODEL_"))
    tune = columns["Ray Tune's own files"]
    names = [*sweep, *tune, *(trial_directory + name for name in (*trial, *tune))]
    names.remove(trial_directory)
    patterns = [to_pattern(name) for name in names]
    files = [p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()]
    assert files
    return sorted(f for f in files if not any(re.fullmatch(pattern, f) for pattern in patterns))


def to_pattern(name: str) -> str:
    """Returns the regular expression of a name on the page; a directory stands for its files."""
    placeholder = "|".join(PLACEHOLDERS)
    parts = re.split(f"({placeholder})", name)

    def convert(part: str) -> str:
        kind = next((key for key in PLACEHOLDERS if re.fullmatch(key, part)), None)
        return re.escape(part) if kind is None else PLACEHOLDERS[kind]

    return "".join(map(convert, parts)) + (".*" if name.endswith("/") else "")
