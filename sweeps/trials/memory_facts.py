"""Facts about trainings that ran out of memory on a device, and the user's file of them.

A fact says that batches of a size ran out of memory, or completed an epoch although those of that
size had run out before. It holds for trainings of the same model, images and precision on the same
device; the learning rate and other values that need no memory may differ.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import EVENTS_FILE
from sweeps.sweep_dir.records import STRICT
from sweeps.terminal.versions import version_of
from trainable.atomic_files import append_whole
from trainable.config.dotted import flatten
from trainable.data.cache.settings import user_cache
from trainable.trial_settings import SETTINGS

FILE_VARIABLE = "TUNE_SWEEPS_MEMORY"
"""Environment variable with the path of the file."""
FILE = "out_of_memory.jsonl"
"""Name of the file in the user's directory for caches."""

WITHOUT_INFLUENCE = re.compile(
    r"seed\.(?!deterministic$)"
    r"|dataset\.(download|num_workers|folds?|seed|mean|std|classes|cache.*|skip_unreadable)$"
    r"|model\.head_init$"
    r"|training\.(batch_size|accumulation_steps|epochs|sampler|early_stopping|max_seconds"
    r"|test_frequency)(\.|$)"
    r"|loss\.(?!name$)"
    r"|ema\.(?!enabled$)"
    r"|(scheduler|tensorboard|progress|checkpoint)(\.|$)"
)
"""Keys of a training config on which the memory of a batch does not depend."""
AMOUNTS = re.compile(r"(optimizer|augment|training\.clip_grad)\.")
"""Keys of numbers of which only whether they are 0 has an influence."""
Outcome = Literal["failed", "completed"]
"""`failed`: ran out of memory. `completed`: trained and evaluated an epoch."""
BUILT_IN_DATA = ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "synthetic")


@dataclass(frozen=True)
class MemoryFact:
    """One fact about batches of a size; the `memory` of an event and a line of the user's file."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    outcome: Outcome
    setting: str
    """See `setting_of`."""
    model: str
    device: str
    """The name of the GPU with its memory, or `cpu` with that of the machine."""
    share: float
    """Share of the device's memory that the trial had."""
    images: int
    """Images of a batch, or of each of its parts."""
    sweep: str
    trial: str
    time: str


_FACT = TypeAdapter(MemoryFact)


def parse_fact(data: Mapping[str, Any] | None) -> MemoryFact:
    """Reads a fact from the plain values of a `memory` event.

    Raises:
        SweepError: It is not a fact of this version.
    """
    try:
        return _FACT.validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        text = f"{key}: {first['msg']}" if key else first["msg"]
        raise SweepError(
            f"{EVENTS_FILE}: a memory event is not one of this version: {text}"
        ) from error


def setting_of(config: Mapping[str, Any]) -> str:
    """Returns a text that is the same for trainings whose batches need the same memory.

    Args:
        config: A trial's config, nested or with dotted keys.
    """
    values = flatten({key: value for key, value in config.items() if key != SETTINGS})
    if values.get("dataset.name") in BUILT_IN_DATA:
        values.pop("dataset.root", None)  # only where it is kept
    kept = {
        key: _shorten_value(key, value)
        for key, value in values.items()
        if not WITHOUT_INFLUENCE.match(key)
    }
    text = json.dumps({"torch": version_of("torch"), **kept}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shorten_value(key: str, value: Any) -> Any:
    """Returns the part of a value that the needed memory depends on."""
    if isinstance(value, list | tuple):
        return [_shorten_value(key, item) for item in value]
    is_count = isinstance(value, int) and key.startswith("optimizer.args.")
    is_amount = AMOUNTS.match(key) and isinstance(value, int | float) and not is_count
    return bool(value) if is_amount or key == "model.pretrained" else value


def find_failure(facts: Iterable[MemoryFact], share: float, images: int) -> MemoryFact | None:
    """Returns the failure that batches of a size would repeat; None if they may complete.

    A failure holds for batches of its size and more with its share of the memory or less, until
    such a batch completes an epoch.

    Args:
        facts: Facts on trainings of one setting on one device, in the order of their times.
        share: Share of the device's memory.
        images: Images of a batch, or of the largest of its parts.
    """
    failures: list[MemoryFact] = []
    for fact in facts:
        if fact.outcome == "failed":
            failures.append(fact)
        else:
            failures = [f for f in failures if f.images > fact.images or f.share < fact.share]
    repeated = [f for f in failures if f.images <= images and f.share >= share]
    return min(repeated, key=lambda f: f.images, default=None)


class MemoryFile:
    """The user's file of facts, one JSON line each.

    Several sweeps may append to it. A line that cannot be read is left out.

    Args:
        path: The file, which need not exist.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(os.environ.get(FILE_VARIABLE) or user_cache() / FILE)

    def read(self) -> tuple[list[MemoryFact], int]:
        """Reads the facts; returns them in order, and the number of damaged lines."""
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return [], 0
        facts, damaged = [], 0
        for line in filter(None, lines):
            try:
                facts.append(_FACT.validate_json(line))
            except ValidationError:
                damaged += 1
        return facts, damaged

    def append(self, fact: MemoryFact) -> None:
        """Appends a fact; a line that a kill has cut short stays a line of its own.

        Raises:
            OSError: The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as file:
            with suppress(OSError):  # a file system without locks: a line is one write
                fcntl.flock(file, fcntl.LOCK_EX)
            line = json.dumps(asdict(fact)).encode() + b"\n"
            append_whole(file, line if _ends_line(file) else b"\n" + line)


def _ends_line(file: Any) -> bool:
    """Whether a file is empty or ends with a whole line."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
