"""The code that a cluster is sent: which files, how large they are, and the archive of them.

The nodes unpack it and run in it, so that none of them needs an installation of this project.
"""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.formatting import format_size

OURS = ("sweeps", "trainable")

JOINED_LIMIT = 512 * 2**20
"""Bytes that Ray takes from a driver: the largest message between its processes."""
SUBMITTED_LIMIT = 100 * 2**20
"""Bytes that Ray's job server takes in a request."""

LEFT_OUT = {"__pycache__", "env", "node_modules", "venv"}
"""Directories at any depth, besides Python environments and what begins with a dot."""
LEFT_OUT_ON_TOP = {"data", "experiments", "runs"}
LEFT_OUT_SUFFIXES = {".ckpt", ".pt", ".pth", ".pyc"}

LARGEST_SHOWN = 5
GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class Parcel:
    """Files for a cluster."""

    files: dict[str, Path]
    """Path in the archive -> file."""

    @property
    def size(self) -> int:
        """Bytes, which the archive holds as they are."""
        return sum(path.stat().st_size for path in self.files.values())

    def check(self, limit: int) -> None:
        """Raises SweepError, with the largest files, if Ray would not take it."""
        if self.size <= limit:
            return
        sizes = sorted(((path.stat().st_size, name) for name, path in self.files.items()))
        largest = [
            f"  {format_size(size):>9}  {name}" for size, name in sizes[: -LARGEST_SHOWN - 1 : -1]
        ]
        raise SweepError(
            f"the code to send is {format_size(self.size)}, Ray takes {format_size(limit)}; "
            "the largest files:\n" + "\n".join(largest) + "\n"
            "  leave them out by a .gitignore, or run from a directory without them"
        )

    def write(self, archive: Path) -> None:
        """Writes a zip file that is the same for the same files: Ray tells archives by content."""
        with zipfile.ZipFile(archive, "w") as out:
            for name, path in sorted(self.files.items()):
                info = zipfile.ZipInfo(name)
                info.external_attr = (path.stat().st_mode & 0o777) << 16
                out.writestr(info, path.read_bytes())


def own_code() -> Parcel:
    """The two packages of this project, wherever they lie."""
    root = Path(__file__).resolve().parents[2]
    found = {
        path.relative_to(root).as_posix(): path
        for package in OURS
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return Parcel(found)


def with_directory(parcel: Parcel, directory: Path, leave_out: Iterable[Path] = ()) -> Parcel:
    """Adds the user's own code.

    In a git work tree these are the files that git does not ignore, else all of them; in both
    cases without data, experiments, weights and environments.

    Args:
        parcel: What there is; it wins where a name is taken.
        directory: The user's.
        leave_out: Directories below it besides those of the rules above.
    """
    directory = directory.absolute()
    forbidden = [path.absolute() for path in leave_out if path.absolute() != directory]
    environments: dict[Path, bool] = {}
    found = {}
    for name in _listed(directory) or _walked(directory):
        path = directory / name
        inside = any(path.is_relative_to(each) for each in forbidden)
        if _is_code(Path(name)) and not inside and path.is_file():
            folders = [directory / folder for folder in Path(name).parents[:-1]]
            if not any(_is_environment(folder, environments) for folder in folders):
                found[Path(name).as_posix()] = path
    ours = {name for name in found if name.split("/")[0] in OURS}
    return Parcel({**{k: v for k, v in found.items() if k not in ours}, **parcel.files})


def _is_code(name: Path) -> bool:
    folders = name.parts[:-1]
    if folders and folders[0] in LEFT_OUT_ON_TOP:
        return False
    if any(part in LEFT_OUT or part.startswith(".") for part in folders):
        return False
    return name.suffix not in LEFT_OUT_SUFFIXES


def _is_environment(folder: Path, known: dict[Path, bool]) -> bool:
    if folder not in known:
        known[folder] = (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists()
    return known[folder]


def _listed(directory: Path) -> list[str]:
    """What git does not ignore; nothing outside of a work tree or without git."""
    command = ["git", "-C", str(directory), "ls-files", "-z", "--cached", "--others"]
    try:
        done = subprocess.run(
            [*command, "--exclude-standard"],
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _walked(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        inside = Path(folder).relative_to(directory)
        folders[:] = [
            name
            for name in folders
            if _is_code(inside / name / "file") and not _is_environment(Path(folder, name), {})
        ]
        yield from (str(inside / name) for name in files)
