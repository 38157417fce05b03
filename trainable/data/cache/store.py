"""Opens the decoded images of a data set; the first process of a machine decodes them.

The others wait for it. If it is killed, one of them takes over. A cache is built under another
name and renamed, so that it is whole or absent even where locks do not work.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from trainable.atomic_files import fsync
from trainable.data.cache.build import build, estimate_bytes
from trainable.data.cache.decoded import DecodedImages
from trainable.data.cache.entry import PIXELS_FILE, Damage, Entry, read_entry
from trainable.data.cache.eviction import discard, evict, new_part, remove_dead_parts
from trainable.data.cache.files import ImageFile, cache_key, list_files, shorten
from trainable.data.cache.locks import OnEvent, building_alone
from trainable.data.cache.progress import Progress, describe_builder
from trainable.data.cache.room import (
    explain_room,
    find_obstacle,
    find_refusal,
    free_bytes,
    has_room,
    show_size,
)
from trainable.data.cache.settings import CacheSettings
from trainable.data.listing import ListedImage
from trainable.errors import DISK_FULL, DataError, DiskFullError

ROOM_FACTOR = 1.2
"""Free space that a disk must have, as a multiple of the cache's size."""


def open_decoded(
    images: Sequence[ListedImage], settings: CacheSettings, on_event: OnEvent | None = None
) -> DecodedImages:
    """Returns the decoded images of a data set, which are decoded only if no process has done so.

    Args:
        images: The images of all splits; their order is that of the result.
        settings: See `cache_settings`.
        on_event: Called with a line on the progress of what takes long; by default it is logged.

    Raises:
        DataError: Files cannot be read; the text names them.
        DiskFullError: There is no room for the decoded images.
    """
    report = on_event or partial(logging.getLogger(__name__).warning, "note: %s")
    files, rows = list_files(images)
    key = cache_key(files, settings)
    entries = (read_entry(folder / key, files) for folder in settings.folders())
    entry = next((entry for entry in entries if entry is not None), None)
    is_new = False
    if entry is None:
        entry, is_new = _create(key, files, settings, report)
    with suppress(OSError):
        evict(entry.directory.parent, settings.limit)
    lines = _list_damages(entry.index.damages, files)
    if lines and not settings.skip_unreadable:
        raise DataError(
            f"{settings.root} has {_count(lines, 'image')} that cannot be read; mend or remove "
            f"them, or set dataset.skip_unreadable: true: {shorten(lines)}"
        )
    notices = [_describe(entry, is_new=is_new)]
    if lines:
        notices.append(f"{_count(lines, 'image')} left out, unreadable: {shorten(lines)}")
    reasons = {damage.number: damage.reason for damage in entry.index.damages}
    unreadable = {at: reasons[row] for at, row in enumerate(rows.tolist()) if row in reasons}
    return DecodedImages(entry, rows, notices, unreadable, threads=settings.threads)


def _list_damages(damages: Sequence[Damage], files: Sequence[ImageFile]) -> list[str]:
    return [f"{files[damage.number].path}: {damage.reason}" for damage in damages]


def _describe(entry: Entry, *, is_new: bool) -> str:
    """Returns the line for the user on a cache."""
    count, size = len(entry.pixels), show_size(entry.pixels.nbytes)
    if is_new:
        line = f"decoded {count:,} images in {entry.index.seconds:.0f} s into {entry.directory}"
    else:
        line = f"reused {count:,} decoded images of {entry.directory}"
    return f"{line} ({size})"


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def find_shortage(images: Sequence[ListedImage], settings: CacheSettings) -> str | None:
    """Returns why no disk has room for the decoded images of a data set; None if one has.

    Nothing is created. The space of other caches counts as free, since this one may be among them.
    See `open_decoded` for the arguments.

    Raises:
        DataError: Files are missing.
    """
    files, _ = list_files(images)
    needed = int(ROOM_FACTOR * estimate_bytes(files, settings))
    refusals = []
    for folder in settings.folders():
        refusal = find_obstacle(folder, needed)
        if refusal is None:
            return None
        refusals.append(f"{folder}: {refusal}")
    return explain_room(settings, needed, "; ".join(refusals))


def _create(
    key: str, files: Sequence[ImageFile], settings: CacheSettings, report: OnEvent
) -> tuple[Entry, bool]:
    """Builds a cache in the first folder with room, or waits for the process that builds it.

    Returns:
        The cache, and whether this process has built it.
    """
    needed = int(ROOM_FACTOR * estimate_bytes(files, settings))
    refusals: list[str] = []
    is_full = False
    refusal: str | None
    for folder in settings.folders():
        try:
            if not has_room(folder, key, needed, settings.limit):
                refusal, is_full = f"{show_size(free_bytes(folder))} are free", True
            else:
                refusal = find_refusal(folder)
            if refusal is None:
                return _create_in(folder, key, files, settings, report)
        except PermissionError as error:  # in a folder of another user
            refusal = error.strerror
        refusals.append(f"{folder}: {refusal}")
    kind = DiskFullError if is_full else DataError
    raise kind(explain_room(settings, needed, "; ".join(refusals)))


def _create_in(
    folder: Path,
    key: str,
    files: Sequence[ImageFile],
    settings: CacheSettings,
    report: OnEvent,
) -> tuple[Entry, bool]:
    describe = partial(describe_builder, folder / key, settings.root)
    with building_alone(folder / key, describe, report):
        remove_dead_parts(folder)
        entry = read_entry(folder / key, files)
        if entry is not None:
            return entry, False
        discard(folder / key)  # a damaged one
        _build_in(folder, key, files, settings, report)
        entry = read_entry(folder / key, files)
    if entry is None:
        raise DataError(f"{folder / key} cannot be read just after it has been written")
    return entry, True


def _build_in(
    folder: Path,
    key: str,
    files: Sequence[ImageFile],
    settings: CacheSettings,
    report: OnEvent,
) -> None:
    part = new_part(folder, key)
    try:
        progress = Progress(part, len(files), settings.root, report)
        build(part, key, files, settings, progress)
        fsync(part)
        try:
            part.rename(folder / key)
        except OSError:
            if not (folder / key).is_dir():  # else a process that this one does not see was faster
                raise
        fsync(folder)
    except PermissionError:
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise DataError(f"{folder}: the decoded images cannot be written: {error}") from error
        needed = (part / PIXELS_FILE).stat().st_size
        shutil.rmtree(part, ignore_errors=True)
        reason = f"{folder}: {DISK_FULL[error.errno]}, {show_size(free_bytes(folder))} are free"
        raise DiskFullError(explain_room(settings, needed, reason)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
