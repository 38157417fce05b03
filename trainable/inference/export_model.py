"""Exports the model of a checkpoint into a file that other programs can load, and checks it.

The file is written beside its final name, loaded back and compared with the model. Only a file
whose logits agree gets the final name.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn

from trainable.artifacts.checkpoint import CONFIG, EPOCH, read_checkpoint
from trainable.artifacts.metrics import scan_rows
from trainable.artifacts.names import METRICS_FILE
from trainable.atomic_files import add_name, write_text
from trainable.config import parse_config
from trainable.config.override import override
from trainable.errors import ExportError, TuneSweepsError, naming_memory
from trainable.inference.description import Description, describe_model
from trainable.inference.formats import FORMATS, Logits, write_model
from trainable.inference.sample_images import SampleImages, sample_images
from trainable.inference.timm_folder import CONFIG_FILE, PREFIX, WEIGHTS_FILE, timm_config
from trainable.inference.trained_model import load_model
from trainable.storage import scratch
from trainable.storage.experiment import local_file
from trainable.storage.object_store import SHORT_RETRY_S, ObjectStore
from trainable.uri import child_uri, expand_home, is_uri, parent_uri

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-3, 1e-4
"""A logit that differs by more than the sum of both is that of another model."""
BATCHES = (1, 3)
"""Sizes of the compared batches; the example that is exported with has another one."""
EXAMPLE_IMAGES = 2


@dataclass(frozen=True)
class Exported:
    """An exported model."""

    locations: tuple[str, ...]
    """The file, and those that were written beside it; paths or addresses."""
    size: int
    """Bytes of the file."""
    difference: float
    """Largest difference of a logit from the checkpoint's model."""
    images: SampleImages
    """The images on which both models were compared."""
    description: Description


def export_checkpoint(
    checkpoint: str,
    kind: str,
    output: str | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    allow_custom_model: bool = False,
) -> Exported:
    """Exports the model of a checkpoint.

    Args:
        checkpoint: A `.pt` file of any experiment or trial, or its address in object storage.
        kind: The format, a key of `FORMATS`.
        output: The new file, or its address in object storage; None puts it beside the checkpoint.
        values: Dotted config key -> new value, e.g. `dataset.root` on another machine.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        ExportError: The exported model computes something else; nothing is left of it.
        TuneSweepsError: The checkpoint cannot be read, the output exists, a package is missing or
            the model cannot be written in this format.
    """
    FORMATS[kind].check_packages()
    target = _Target.of(output or _replace_suffix(checkpoint, FORMATS[kind].suffix))
    target.refuse_existing(target.name)
    with local_file(checkpoint) as path:
        state = read_checkpoint(path)
        metrics = _read_metrics(path, state[EPOCH])
    config = parse_config(override(state[CONFIG], values or {}), checkpoint)
    has_timm_folder = config.model.name.startswith(PREFIX) and target.name == WEIGHTS_FILE
    if has_timm_folder:
        target.refuse_existing(CONFIG_FILE)
    with naming_memory(checkpoint), target.staging() as directory:
        images = sample_images(config, state, max(BATCHES), allow_custom=allow_custom_model)
        model = load_model(config, state, allow_custom=allow_custom_model)
        description = describe_model(config, state, metrics)
        path = directory / target.name
        write_model(kind, model, images.pixels[:EXAMPLE_IMAGES], path, description)
        logits, read = FORMATS[kind].read(path, allow_custom_model)
        difference = _compare(model, logits, images.pixels, target.location)
        if read != json.loads(json.dumps(description)):
            raise ExportError(f"{target.location}: the description was not read back; deleted")
        if has_timm_folder:
            write_text(directory / CONFIG_FILE, timm_config(model, description))
        size = path.stat().st_size
        names = (target.name, CONFIG_FILE) if has_timm_folder else (target.name,)
        locations = tuple(target.place(directory / name) for name in names[::-1])[::-1]
    return Exported(locations, size, difference, images, description)


@dataclass(frozen=True)
class _Target:
    """Where the file goes: a directory, or one in object storage, and a name in it."""

    folder: str
    name: str

    @classmethod
    def of(cls, location: str) -> _Target:
        if is_uri(location):
            return cls(*parent_uri(location))
        path = Path(expand_home(location))
        return cls(str(path.parent), path.name)

    @property
    def location(self) -> str:
        return self._locate(self.name)

    def _locate(self, name: str) -> str:
        return (
            child_uri(self.folder, name) if is_uri(self.folder) else str(Path(self.folder, name))
        )

    def _store(self) -> ObjectStore:
        return ObjectStore(self.folder, retry_s=SHORT_RETRY_S)

    def refuse_existing(self, name: str) -> None:
        """Raises TuneSweepsError if a file of the name exists or its directory does not."""
        if is_uri(self.folder):
            exists = self._store().stat(name) is not None
        else:
            exists = Path(self.folder, name).exists()
            if not Path(self.folder).is_dir():
                raise TuneSweepsError(f"{self._locate(name)}: there is no directory {self.folder}")
        if exists:
            raise TuneSweepsError(
                f"{self._locate(name)} exists; delete it or choose another name with --output"
            )

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yields a directory for the new files, on the disk of the target if it is local."""
        if is_uri(self.folder):
            directory = scratch.create()
            try:
                yield directory
            finally:
                scratch.release(directory)
            return
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=f".{self.name}.") as path:
            yield Path(path)

    def place(self, file: Path) -> str:
        """Gives a file its final name; returns its location."""
        if is_uri(self.folder):
            self._store().upload(file, file.name)
        else:
            add_name(file, Path(self.folder, file.name))
        return self._locate(file.name)


def _replace_suffix(location: str, suffix: str) -> str:
    target = _Target.of(location)
    name = PurePosixPath(target.name).with_suffix(suffix).name
    return _Target(target.folder, name).location


def _read_metrics(checkpoint: Path, epoch: int) -> dict[str, float]:
    """Returns the metrics of the checkpoint's epoch, if its trial's `metrics.jsonl` is there."""
    file = checkpoint.absolute().parent.parent / METRICS_FILE
    if not file.exists():
        return {}
    rows = [row for row in scan_rows(file)[0] if row["epoch"] == epoch]
    return {
        name: value
        for row in rows[-1:]
        for name, value in row.items()
        if name.startswith(("train_", "val_", "test_")) and isinstance(value, int | float)
    }


@torch.no_grad()
def _compare(model: nn.Module, logits: Logits, images: Tensor, location: str) -> float:
    """Returns the largest difference of a logit.

    Raises:
        ExportError: One is too large, or another class has the largest logit.
    """
    difference = 0.0
    for count in BATCHES:
        expected, actual = model(images[:count]), logits(images[:count])
        reason = _explain_difference(expected, actual)
        if reason is not None:
            raise ExportError(
                f"{location}: the exported model differs from the checkpoint's on {count} "
                f"image{'' if count == 1 else 's'}: {reason}; the file is deleted"
            )
        difference = max(difference, float((expected - actual).abs().max()))
    return difference


def _explain_difference(expected: Tensor, actual: Tensor) -> str | None:
    if expected.shape != actual.shape:
        return f"logits of {list(actual.shape)} instead of {list(expected.shape)}"
    if not bool(expected.isfinite().all()):
        return "the checkpoint's own logits are not finite"
    if not torch.allclose(actual, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE):
        return f"a logit by {float((expected - actual).abs().max()):.3g}"
    if not torch.equal(expected.argmax(1), actual.argmax(1)):
        return "another class"
    return None
