"""Where a sweep is: a local directory, or a URI in object storage with its local mirror.

Callers work with local paths only. On a path outside every mirror the functions do nothing, or
what is meant for plain files.
"""

from __future__ import annotations

import atexit
from pathlib import Path

from sweeps.storage.sweep_mirror import SweepMirror
from sweeps.terminal.console import show_as_uri
from trainable.atomic_files import add_name, write_bytes
from trainable.errors import StorageError
from trainable.storage.object_store import SHORT_RETRY_S, ObjectStore
from trainable.uri import child_uri, expand_home, is_uri, normalize_directory, parent_uri

_mirrors: dict[Path, SweepMirror] = {}


def resolve(location: str | Path, *, retry_s: float = SHORT_RETRY_S) -> Path:
    """Returns the local directory of a location: itself, or the updated mirror of a URI.

    Args:
        location: A path or a URI.
        retry_s: How long a call to the store is retried.

    Raises:
        StorageError: The URI is not valid, or the store cannot be read.
    """
    if not is_uri(str(location)):
        return Path(expand_home(str(location)))
    try:
        uri = normalize_directory(str(location))
    except ValueError as error:
        raise StorageError(f"a URI {error}") from error
    if not is_uri(uri):
        return Path(uri)
    mirror = next((mirror for mirror in _mirrors.values() if mirror.store.uri == uri), None)
    if mirror is None:
        mirror = SweepMirror(uri, retry_s=retry_s)
        if not _mirrors:
            atexit.register(_close_mirrors)
        _mirrors[mirror.directory] = mirror
        show_as_uri(mirror.directory, lambda name: child_uri(uri, name) if name else uri)
    mirror.pull()
    return mirror.directory


def mirror_of(path: Path) -> SweepMirror | None:
    """Returns the mirror that contains a path, if any."""
    absolute = path.absolute()
    ancestors = (absolute, *absolute.parents)
    return next((_mirrors[directory] for directory in ancestors if directory in _mirrors), None)


def store_of(directory: Path) -> ObjectStore | None:
    """Returns the directory in object storage that a local one mirrors, if any."""
    mirror = mirror_of(directory)
    if mirror is None:
        return None
    name = mirror.name_of(directory)
    return mirror.store if name == "." else mirror.store.child(name)


def checkpoint_dir_of(directory: Path) -> str:
    """Returns the `checkpoint.dir` that a sweep's directory is in."""
    store = store_of(directory)
    return str(directory.parent) if store is None else parent_uri(store.uri)[0]


def join_location(base: str, name: str) -> str:
    """Joins a `checkpoint.dir`, which may be a URI, and a name."""
    return child_uri(base, name) if is_uri(base) else str(Path(base) / name)


def refresh(directory: Path) -> None:
    """Updates a mirror that was not updated just before."""
    mirror = mirror_of(directory)
    if mirror is not None:
        mirror.refresh()


def sync_trial(trial: Path) -> None:
    """Downloads the files of an ended trial."""
    mirror = mirror_of(trial)
    if mirror is not None:
        mirror.sync_trial(trial.name)


def pull_trial(trial: Path) -> None:
    """Downloads the files of a trial as they are now; it may be with a worker."""
    mirror = mirror_of(trial)
    if mirror is not None:
        mirror.pull(trial.name, with_records=False)


def read_live(path: Path) -> bytes:
    """Reads a file of a trial that a worker may be writing.

    Raises:
        FileNotFoundError: There is no such file.
        StorageError: The store cannot be read.
    """
    mirror = mirror_of(path)
    return path.read_bytes() if mirror is None else mirror.read_live(path)


def sync_trials(directory: Path) -> None:
    """Downloads the files of all trials of a sweep, none of which is with a worker any longer."""
    mirror = mirror_of(directory)
    if mirror is not None:
        mirror.sync_trials()


def download(path: Path) -> Path:
    """Downloads the bytes of weights if the file is a placeholder; returns its path."""
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.download_weights(path)
    return path


def evict(directory: Path) -> None:
    """Replaces the weights that `download` has got below a directory by placeholders."""
    mirror = mirror_of(directory)
    if mirror is not None:
        mirror.evict(directory)


def seed_checkpoint(checkpoint: Path, target: Path) -> None:
    """Makes weights a trial's only checkpoint of Tune's, as a further name of the same file."""
    mirror = mirror_of(target)
    if mirror is not None:
        mirror.seed_checkpoint(checkpoint, target)
    else:
        add_name(checkpoint, target)


def copy_weights(source: Path, target: Path) -> None:
    """Copies weights of a sweep, which later changes of the source do not affect.

    Args:
        source: A file that is replaced whole when it changes.
        target: The copy, in the same sweep; it replaces another file.
    """
    mirror = mirror_of(target)
    if mirror is not None:
        mirror.copy_weights(source, target)
    else:
        add_name(source, target)


def upload(path: Path) -> None:
    """Uploads a file that was written to a mirror."""
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.store.upload(path, mirror.name_of(path))


def fetch(path: Path) -> bool:
    """Downloads an object that is not part of the mirror, such as an answer, if it exists.

    Returns:
        Whether the file exists now.
    """
    mirror = mirror_of(path)
    if mirror is None:
        return path.exists()
    data = mirror.store.read(mirror.name_of(path))
    if data is None:
        return False
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, data)
    return True


def delete(path: Path) -> None:
    """Deletes a file, and its object if it is in a mirror."""
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.store.delete([mirror.name_of(path)])
    path.unlink(missing_ok=True)


def _close_mirrors() -> None:
    for mirror in _mirrors.values():
        mirror.close()
