"""Places of sweeps: a directory, or an address in object storage with its desk here.

Every function is told a local path and does nothing, or the plain thing, where that is no desk.
"""

from __future__ import annotations

import atexit
from pathlib import Path

from sweeps.storage.sweep_mirror import Desk
from sweeps.terminal.console import show_as_uri
from trainable.atomic_files import add_name
from trainable.errors import StorageError
from trainable.storage.object_store import SHORT_PATIENCE_S, Remote
from trainable.uri import child_uri, is_uri, normalize_directory, parent_uri

_desks: dict[Path, Desk] = {}


def local(place: str | Path, *, patience_s: float = SHORT_PATIENCE_S) -> Path:
    """The local directory of a place: itself, or the filled desk of an address.

    Args:
        place: A path or a URI.
        patience_s: How long a call to the store goes on trying.

    Raises:
        StorageError: The store does not answer, or the address is none.
    """
    if not is_uri(str(place)):
        return Path(place)
    try:
        uri = normalize_directory(str(place))
    except ValueError as error:
        raise StorageError(f"an address {error}") from error
    if not is_uri(uri):
        return Path(uri)
    desk = next((desk for desk in _desks.values() if desk.remote.uri == uri), None)
    if desk is None:
        desk = Desk(uri, patience_s=patience_s)
        if not _desks:
            atexit.register(_clear)
        _desks[desk.directory] = desk
        show_as_uri(desk.directory, lambda name: child_uri(uri, name) if name else uri)
    desk.pull()
    return desk.directory


def desk_of(path: Path) -> Desk | None:
    """The desk that a path lies on, if it lies on one."""
    absolute = path.absolute()
    around = (absolute, *absolute.parents)
    return next((_desks[each] for each in around if each in _desks), None)


def remote_of(directory: Path) -> Remote | None:
    """The directory in object storage that a local one stands for, if it does."""
    desk = desk_of(directory)
    if desk is None:
        return None
    name = desk.name(directory)
    return desk.remote if name == "." else desk.remote.child(name)


def address(path: Path) -> str:
    """Where a path really is: its address, if it lies on a desk."""
    found = remote_of(path)
    return str(path) if found is None else found.uri


def base_of(directory: Path) -> str:
    """The `checkpoint.dir` of a sweep's directory."""
    found = remote_of(directory)
    return str(directory.parent) if found is None else parent_uri(found.uri)[0]


def place_in(base: str, name: str) -> str:
    """The place of what has this name in a `checkpoint.dir`."""
    return child_uri(base, name) if is_uri(base) else str(Path(base) / name)


def refresh(directory: Path) -> None:
    """Looks again at what a desk stands for."""
    desk = desk_of(directory)
    if desk is not None:
        desk.refresh()


def collect(trial: Path) -> None:
    """Makes sure that what an ended trial has left is here."""
    desk = desk_of(trial)
    if desk is not None:
        desk.collect(trial.name)


def collect_all(directory: Path) -> None:
    """Makes sure that what all trials of a sweep have left is here; no worker has any of them."""
    desk = desk_of(directory)
    if desk is not None:
        desk.collect_all()


def bring(path: Path) -> Path:
    """Gets the bytes of a file of weights, if it only stands for them; returns its path."""
    desk = desk_of(path)
    if desk is not None:
        desk.bring(path)
    return path


def let_go(directory: Path) -> None:
    """Drops the bytes that `bring` has got for a directory."""
    desk = desk_of(directory)
    if desk is not None:
        desk.let_go(directory)


def begin_from(checkpoint: Path, target: Path) -> None:
    """Gives a file of weights the name of a trial's only checkpoint of Tune's."""
    desk = desk_of(target)
    if desk is not None:
        desk.begin_from(checkpoint, target)
    else:
        add_name(checkpoint, target)


def publish(path: Path) -> None:
    """Brings a file that was written here to where it really is."""
    desk = desk_of(path)
    if desk is not None:
        desk.remote.upload(path, desk.name(path))


def _clear() -> None:
    for desk in _desks.values():
        desk.close()
