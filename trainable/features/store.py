"""Features on disk and in memory, each computed once by one of the processes of a node.

A file holds the features of one pass over a split. Its name is a hash of everything that they
depend on, so that a file is never out of date; any file may be deleted at any time. Where the disk
cannot be used, features stay in the memory of the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainable.atomic_files import TEMPORARY_SUFFIX
from trainable.data.cache.locks import building_alone
from trainable.data.cache.memory import available_memory
from trainable.data.cache.settings import user_cache

DIRECTORY_VARIABLE = "TUNE_SWEEPS_FEATURES"
SIZE_VARIABLE = "TUNE_SWEEPS_FEATURES_GIB"
DEFAULT_GIB = 20.0
"""Size of all files together; the ones that have not been used for the longest time go first."""
RESERVED_BYTES = 2**30
"""Free space that is left on the disk."""
MEMORY_SHARE = 0.25
"""Largest share of the device's free memory that features may take."""
SUFFIX = ".safetensors"
CHECKSUM = "crc32"


@dataclass(frozen=True)
class Features:
    """The features of a pass over a split."""

    values: Tensor
    """`[N, ...]`, in the order of the images' numbers."""
    labels: Tensor
    """`[N]` int64."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.values.nbytes + self.labels.nbytes


class FeatureStore:
    """The features that this process has loaded, and the files of the node.

    Args:
        directory: The directory of the files.
        limit: Largest size of all files together, in bytes.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory
        self._limit = limit
        self._loaded: OrderedDict[tuple[str, str], Features] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self,
        key: Mapping[str, Any],
        compute: Callable[[], Features],
        device: torch.device,
        on_event: Callable[[str], None],
    ) -> Features:
        """Returns features; computes them only if no process of the node has them.

        Args:
            key: Plain values on which the features depend.
            compute: Computes them, on the CPU.
            device: Where they are used; they stay on the CPU if they do not fit there.
            on_event: Called with a line for the log where they are computed or the disk fails.
        """
        text = json.dumps(key, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        with self._lock:  # also keeps other threads of this process from computing the same
            features = self._loaded.get((name, str(device)))
            if features is None:
                features = self._get_from_disk(name, text, compute, on_event)
                features = self._to_device(features, device)
                self._loaded[name, str(device)] = features
                self._forget_oldest()
            self._loaded.move_to_end((name, str(device)))
            return features

    def _forget_oldest(self) -> None:
        """Frees the main memory of features that were used longest ago; their files stay."""
        on_cpu = {key: item.size for key, item in self._loaded.items() if item.values.is_cpu}
        room = int(available_memory() * MEMORY_SHARE) - sum(on_cpu.values())
        for key, size in [*on_cpu.items()][:-1]:
            if room >= 0:
                break
            del self._loaded[key]
            room += size

    def _get_from_disk(
        self,
        name: str,
        text: str,
        compute: Callable[[], Features],
        on_event: Callable[[str], None],
    ) -> Features:
        path = self.directory / f"{name}{SUFFIX}"
        features = read_features(path)
        if features is not None:
            return features
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            on_event(f"note: features are not kept on disk: {self.directory}: {error}")
            return compute()
        builder = "another process, which computes the features of these images"
        with building_alone(path, lambda: builder, lambda line: on_event(f"note: {line}")):
            features = read_features(path)  # another process may have computed them meanwhile
            if features is None:
                features = compute()
                reason = self._write(path, features, text)
                if reason is not None:
                    on_event(f"note: features are not kept on disk: {reason}")
            return features

    def _write(self, path: Path, features: Features, text: str) -> str | None:
        """Writes a file; returns why it was not written."""
        from safetensors.torch import save_file

        reason = self._make_room(features.size)
        if reason is not None:
            return reason
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}")
        tensors = {"values": features.values.contiguous(), "labels": features.labels}
        metadata = {"key": text, CHECKSUM: str(_checksum(features))}
        try:
            save_file(tensors, temporary, metadata)
            temporary.replace(path)
        except Exception as error:  # noqa: BLE001 - safetensors has its own class for a full disk
            return f"{path}: {error}"
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return None

    def _make_room(self, size: int) -> str | None:
        """Deletes the files that were used longest ago; returns why there is no room."""
        if size > self._limit:
            return f"{SIZE_VARIABLE} allows {self._limit / 2**30:g} GiB"
        files = [(path.stat(), path) for path in self.directory.glob(f"*{SUFFIX}")]
        total = sum(info.st_size for info, _ in files)
        for info, path in sorted(files, key=lambda item: item[0].st_mtime):
            free = shutil.disk_usage(self.directory).free
            if total + size <= self._limit and free >= size + RESERVED_BYTES:
                break
            path.unlink(missing_ok=True)
            total -= info.st_size
        if shutil.disk_usage(self.directory).free < size + RESERVED_BYTES:
            return f"{self.directory}: no space left on the disk"
        return None

    def _to_device(self, features: Features, device: torch.device) -> Features:
        """Moves features to the device; what was used longest ago goes where there is no room."""
        if device.type != "cuda":
            return features
        free, _ = torch.cuda.mem_get_info(device)
        room = int(free * MEMORY_SHARE)
        on_device = [key for key in self._loaded if key[1] == str(device)]
        for key in on_device:
            if features.size <= room:
                break
            room += self._loaded.pop(key).size
        if features.size > room:
            return features
        return Features(features.values.to(device), features.labels.to(device))


def read_features(path: Path) -> Features | None:
    """Reads a file; a damaged one is deleted.

    Returns:
        None if there is no whole file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            features = Features(file.get_tensor("values"), file.get_tensor("labels"))
            is_whole = (file.metadata() or {}).get(CHECKSUM) == str(_checksum(features))
        if is_whole:
            with suppress(OSError):
                os.utime(path)  # for `_make_room`
            return features
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError):
        pass
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return None


def _checksum(features: Features) -> int:
    values = zlib.crc32(features.values.contiguous().view(torch.uint8).numpy().data)
    return zlib.crc32(features.labels.view(torch.uint8).numpy().data, values)


_stores: dict[tuple[Path, int], FeatureStore] = {}


def node_store() -> FeatureStore:
    """Returns the store of this process, in the directory that the environment names."""
    directory = Path(os.environ.get(DIRECTORY_VARIABLE) or user_cache() / "features")
    limit = int(float(os.environ.get(SIZE_VARIABLE) or DEFAULT_GIB) * 2**30)
    key = (directory.absolute(), limit)
    if key not in _stores:
        _stores[key] = FeatureStore(*key)
    return _stores[key]
