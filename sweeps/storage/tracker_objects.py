"""Moves the local files of trackers between a sweep's mirror and object storage.

They are downloaded before a run and uploaded after it. In between the truth about the epochs is in
the trials' files, from which a resume after a kill fills in what the stored ones lack.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path

from sweeps.storage.location import mirror_of
from sweeps.sweep_dir.layout import TRACKER_FILES, TRACKER_FOLDERS, TRACKERS_FILE
from trainable.storage.object_store import SHORT_RETRY_S, ObjectStore, run_parallel


def download_trackers(directory: Path) -> None:
    """Downloads the files of trackers; does nothing for a sweep on a file system.

    Raises:
        StorageError: The store cannot be read within `SHORT_RETRY_S`.
    """
    mirror = mirror_of(directory)
    if mirror is None:
        return
    store = _with_short_retry(mirror.store)
    files = [name for name in TRACKER_FILES if store.stat(name) is not None]
    names = [*files, *_list_folders(store)]
    run_parallel(lambda name: store.download(name, directory / name), names)


def upload_marks(directory: Path) -> None:
    """Uploads `trackers.json`; does nothing for a sweep on a file system.

    Raises:
        StorageError: The store does not accept it within `SHORT_RETRY_S`.
    """
    mirror = mirror_of(directory)
    if mirror is not None:
        _with_short_retry(mirror.store).upload(directory / TRACKERS_FILE, TRACKERS_FILE)


def upload_trackers(directory: Path, journals: Iterable[str] = ()) -> None:
    """Uploads the files of trackers; does nothing for a sweep on a file system.

    Args:
        directory: The sweep directory.
        journals: Paths of more files; those outside the sweep directory are not uploaded.

    Raises:
        StorageError: The store does not accept them.
    """
    mirror = mirror_of(directory)
    if mirror is None:
        return
    own = [path for name in journals if (path := directory / name).is_relative_to(directory)]
    files = [*_files(directory), *own]
    present = {mirror.name_of(path): path for path in files if path.is_file()}
    stored = list(_list_folders(mirror.store))
    last = {TRACKERS_FILE}  # it says what the others have
    for names in (present.keys() - last, present.keys() & last):
        run_parallel(lambda name: mirror.store.upload(present[name], name), sorted(names))
    mirror.delete(name for name in stored if name not in present)


def _with_short_retry(store: ObjectStore) -> ObjectStore:
    """Returns the same store for calls that the driver's loop waits for."""
    impatient = copy.copy(store)
    impatient.retry_s = SHORT_RETRY_S
    return impatient


def _list_folders(store: ObjectStore) -> Iterator[str]:
    for folder in TRACKER_FOLDERS:
        yield from (f"{folder}/{name}" for name in store.child(folder).list())


def _files(directory: Path) -> Iterator[Path]:
    yield from (directory / name for name in TRACKER_FILES)
    for folder in TRACKER_FOLDERS:
        yield from (directory / folder).rglob("*")
