"""Finds the files that a table names, by one listing of every folder."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from trainable.data.listing import normalize_path
from trainable.errors import DataError

WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class PathRuleError(ValueError):
    """A path in a table that is not allowed; the text is the rule and follows the path."""


@dataclass
class _Folder:
    """The content of a folder: name, as it is or in Unicode's form NFC -> name on disk."""

    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)


class ImageFiles:
    """The files below the root of a data set.

    A name is the same in both of Unicode's forms: files from a Mac often have names in form NFD
    and the table in form NFC. A backslash is a separator unless a file has it in its name.

    Args:
        root: The root; it exists.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = f"{root}/".replace("//", "/")
        places = dict.fromkeys((Path(os.path.normpath(root.absolute())), root.resolve()))
        self._prefixes = tuple(f"{place}/".replace("//", "/") for place in places)
        self._folders: dict[str, _Folder] = {}

    def find(self, name: str) -> tuple[str, str | None]:
        """Returns the identity of an image and its path.

        Args:
            name: The path as it stands in the table.

        Returns:
            The path below the root as `normalize_path` returns it, and the file's path, which is
            None if there is no such file.

        Raises:
            PathRuleError: The path leads out of the root, or is none of this machine's.
        """
        readings = _readings(name)
        for reading in readings:
            relative = self._relative(reading)
            file = None if relative is None else self._locate(relative)
            if relative is not None and file is not None:
                return normalize_path(relative), self._prefix + file
        relative = self._relative(readings[-1])
        if relative is None:
            raise PathRuleError(_explain(readings[-1]))
        return normalize_path(relative), None

    def similar(self, key: str) -> str | None:
        """Returns the name of a file that differs by case only, beside a missing one."""
        folder, _, name = key.rpartition("/")
        files = self._list(folder).files
        return next((file for file in files.values() if file.lower() == name.lower()), None)

    def _relative(self, name: str) -> str | None:
        """Returns a path below the root, without `.` and `..`; None if it leads out of it."""
        if WINDOWS_PATH.match(name) or ADDRESS.match(name):
            return None
        if name.startswith("/"):
            path = posixpath.normpath(name)
            inside = (path[len(p) :] for p in self._prefixes if path.startswith(p))
            return next(inside, None)
        path = posixpath.normpath(name)
        return None if path == ".." or path.startswith("../") else path

    def _locate(self, relative: str) -> str | None:
        """Returns the path of a file below the root as it is on disk."""
        folder, _, name = relative.rpartition("/")
        on_disk = _look_up(self._list(folder).files, name)
        if on_disk is None:
            return None
        place = self._place(folder)
        return f"{place}/{on_disk}" if place else on_disk

    def _place(self, folder: str) -> str | None:
        """Returns the path of a folder below the root as it is on disk; None if there is none."""
        if not folder:
            return ""
        above, _, name = folder.rpartition("/")
        on_disk = _look_up(self._list(above).folders, name)
        if on_disk is None:
            return None
        place = self._place(above)
        return f"{place}/{on_disk}" if place else on_disk

    def _list(self, folder: str) -> _Folder:
        """Returns what is in a folder; nothing if there is no such folder."""
        if folder not in self._folders:
            place = self._place(folder)
            self._folders[folder] = _Folder() if place is None else _scan(self._root / place)
        return self._folders[folder]


def _readings(name: str) -> list[str]:
    """Returns a path as it stands in the table, and as it may be meant."""
    turned = name.replace("\\", "/")
    return list(dict.fromkeys((name, turned, turned.strip())))


def _look_up(names: dict[str, str], name: str) -> str | None:
    return names.get(name) or names.get(normalize_path(name))


def _scan(folder: Path) -> _Folder:
    content = _Folder()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    names = content.folders
                elif entry.is_file():
                    names = content.files
                else:
                    continue
                names[entry.name] = entry.name
                names.setdefault(normalize_path(entry.name), entry.name)
    except OSError as error:
        raise DataError(f"dataset.root: {folder} cannot be read: {error.strerror}") from error
    return content


def _explain(name: str) -> str:
    """Returns the rule that a path breaks."""
    if WINDOWS_PATH.match(name):
        return "is a path of a Windows machine; write paths below dataset.root"
    if ADDRESS.match(name):
        return "is an address; download the images and write paths below dataset.root"
    return "is not below dataset.root; set dataset.root to a folder above all images"
