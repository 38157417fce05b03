"""Selects the code that a cluster receives and checks its size.

Ray packs, uploads and unpacks the code as the `working_dir` of a `runtime_env`, so nodes need no
installation of this project. The selection is not left to Ray's `excludes`: Ray checks the size
only after it has packed everything and does not name the large files, it follows links to
directories such as datasets, and it drops files that git tracks although `.gitignore` lists them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.formatting import format_size

PROJECT_PACKAGES = ("sweeps", "trainable")

JOIN_LIMIT_BYTES = 512 * 2**20
"""Largest `working_dir` that Ray takes from a driver."""
SUBMIT_LIMIT_BYTES = 100 * 2**20
"""Largest request that Ray's job server takes."""

EXCLUDED_DIRECTORIES = {"__pycache__", "env", "node_modules", "venv"}
"""Excluded at any depth, like Python environments and names that begin with a dot."""
EXCLUDED_TOP_DIRECTORIES = {"data", "experiments", "runs"}
EXCLUDED_SUFFIXES = {".ckpt", ".pt", ".pth", ".pyc"}

MAX_LISTED_FILES = 5
GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class CodePackage:
    """Files that a cluster receives."""

    files: dict[str, Path]
    """Path in the working directory of the nodes -> local file."""

    @property
    def size(self) -> int:
        """Total size in bytes; Ray packs the files uncompressed."""
        return sum(path.stat().st_size for path in self.files.values())

    def check_size(self, limit_bytes: int) -> None:
        """Raises SweepError, with the largest files, if the package is above the limit."""
        if self.size <= limit_bytes:
            return
        sizes = sorted(
            ((path.stat().st_size, name) for name, path in self.files.items()), reverse=True
        )
        lines = [f"  {format_size(size):>9}  {name}" for size, name in sizes[:MAX_LISTED_FILES]]
        raise SweepError(
            f"the code to send is {format_size(self.size)}, Ray takes {format_size(limit_bytes)}; "
            "the largest files:\n" + "\n".join(lines) + "\n"
            "  exclude them with a .gitignore, or run from a directory without them"
        )

    def link_into(self, directory: Path) -> None:
        """Fills a directory with links to the files, for Ray to pack as `working_dir`.

        `.gitignore` files are left out because Ray would apply them to files that git tracks.
        """
        directory.mkdir()
        for name, path in self.files.items():
            link = directory / name
            if link.name != ".gitignore":
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)


def project_code() -> CodePackage:
    """Returns the packages of this project."""
    root = Path(__file__).resolve().parents[2]
    files = {
        path.relative_to(root).as_posix(): path
        for package in PROJECT_PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return CodePackage(files)


def add_user_code(
    package: CodePackage, directory: Path, excludes: Iterable[Path] = ()
) -> CodePackage:
    """Returns a package with the user's code added.

    In a git work tree these are the files that git does not ignore, elsewhere all files. Data,
    experiments, weights and Python environments are excluded in both cases.

    Args:
        package: The package to extend; its files win over the user's of the same name.
        directory: The directory with the user's code.
        excludes: Further directories below it that are not sent.
    """
    directory = directory.absolute()
    excluded = [path.absolute() for path in excludes if path.absolute() != directory]
    environments: dict[Path, bool] = {}
    files = {}
    for name in _list_git_files(directory) or _walk(directory):
        path = directory / name
        is_excluded = any(path.is_relative_to(other) for other in excluded)
        if _is_code(Path(name)) and not is_excluded and path.is_file():
            folders = [directory / folder for folder in Path(name).parents[:-1]]
            if not any(_is_environment(folder, environments) for folder in folders):
                files[Path(name).as_posix()] = path
    user_files = {k: v for k, v in files.items() if k.split("/")[0] not in PROJECT_PACKAGES}
    return CodePackage({**user_files, **package.files})


def add_modules(
    package: CodePackage, directory: Path, excludes: Iterable[Path] = ()
) -> CodePackage:
    """Returns a package with the Python files of another directory, as if they lay in the first.

    Args:
        package: The package to extend; its files win over others of the same name.
        directory: The directory with the modules.
        excludes: As for `add_user_code`.
    """
    files = add_user_code(CodePackage({}), directory, excludes).files
    modules = {name: path for name, path in files.items() if name.endswith(".py")}
    return CodePackage({**modules, **package.files})


def _is_code(name: Path) -> bool:
    folders = name.parts[:-1]
    if folders and folders[0] in EXCLUDED_TOP_DIRECTORIES:
        return False
    if any(part in EXCLUDED_DIRECTORIES or part.startswith(".") for part in folders):
        return False
    return name.suffix not in EXCLUDED_SUFFIXES


def _is_environment(folder: Path, cache: dict[Path, bool]) -> bool:
    if folder not in cache:
        cache[folder] = (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists()
    return cache[folder]


def _list_git_files(directory: Path) -> list[str]:
    """Lists the files that git does not ignore; empty outside a work tree or without git."""
    command = ["git", "-C", str(directory), "ls-files", "-z", "--cached", "--others"]
    try:
        completed = subprocess.run(
            [*command, "--exclude-standard"],
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [os.fsdecode(name) for name in completed.stdout.split(b"\0") if name]


def _walk(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        relative = Path(folder).relative_to(directory)
        folders[:] = [
            name
            for name in folders
            if _is_code(relative / name / "file") and not _is_environment(Path(folder, name), {})
        ]
        yield from (str(relative / name) for name in files)
