"""The experiment directory of a single training, where `checkpoint.dir` is in object storage."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, LATEST_FILE, automatic_name
from trainable.config import TrainConfig
from trainable.errors import ExperimentError
from trainable.storage import scratch
from trainable.storage.mirror import OF_A_TRAINING, Mirror
from trainable.storage.object_store import SHORT_PATIENCE_S, Remote
from trainable.uri import child_uri, is_uri, parent_uri

CLAIM = ".claim"
SETTLED_S = 1.0
"""Of two trainings that claim a name at the same time the later one has it, seen after so long."""


class StoredExperiment:
    """An experiment directory on this machine's disk and its image in the store.

    Args:
        config: Of the training; its `checkpoint.dir` is an address.
        now: Goes into an automatic name.

    Raises:
        ExperimentError: An experiment of the custom name is there already.
        StorageError: The store does not answer.
    """

    def __init__(self, config: TrainConfig, now: datetime) -> None:
        base, custom = config.checkpoint.dir, config.checkpoint.experiment_name
        self._remote = _custom(config) if custom else _unique(base, automatic_name(config, now))
        self.place = self._remote.uri
        self._run = scratch.new_place()
        self.directory = self._run / self._remote.name
        (self.directory / CHECKPOINTS).mkdir(parents=True)
        self._mirror = Mirror(self.directory, self._remote, OF_A_TRAINING)
        listed = self._remote.list()
        self._mirror.pull({name: stored for name, stored in listed.items() if name != CLAIM})

    def push(self) -> None:
        """Brings what is new into the store.

        Raises:
            StorageError: The store does not take it; it is still in `directory`.
        """
        self._mirror.push()
        self._remote.delete([CLAIM])

    def close(self) -> None:
        """Brings the rest into the store and takes the local files away.

        Raises:
            StorageError: The store does not take it; it is still in `directory`.
        """
        self.push()
        scratch.let_go(self._run)


def _unique(base: str, name: str) -> Remote:
    for suffix in itertools.chain([""], (f"_{n}" for n in itertools.count(2))):
        remote = Remote(child_uri(base, f"{name}{suffix}"))
        if _claim(remote):
            return remote
    raise AssertionError("itertools.count never ends")


def _custom(config: TrainConfig) -> Remote:
    remote = Remote(child_uri(config.checkpoint.dir, config.checkpoint.experiment_name))
    resume = config.checkpoint.resume
    latest = child_uri(remote.uri, f"{CHECKPOINTS}/{LATEST_FILE}")
    goes_on = resume is not None and parent_uri(resume)[0] == parent_uri(latest)[0]
    if not goes_on and not _claim(remote):
        raise ExperimentError(
            f"{remote.uri} already holds an experiment; set checkpoint.resume to {latest} to "
            "continue it, or choose another checkpoint.experiment_name"
        )
    return remote


def _claim(remote: Remote) -> bool:
    if remote.list():
        return False
    token = secrets.token_hex(8).encode()
    remote.write(CLAIM, token)
    time.sleep(SETTLED_S)
    return remote.read(CLAIM) == token


@contextmanager
def local_file(path: str) -> Iterator[Path]:
    """A file that may be in object storage; of a checkpoint, with the `best.pt` beside it.

    Args:
        path: The file's, or its address.

    Raises:
        StorageError: There is no such object, or the store does not answer.
    """
    if not is_uri(path):
        yield Path(path)
        return
    folder, name = parent_uri(path)
    remote = Remote(folder, patience_s=SHORT_PATIENCE_S)
    run = scratch.new_place()
    try:
        remote.download(name, run / name)
        if name != BEST_FILE and remote.stat(BEST_FILE) is not None:
            remote.download(BEST_FILE, run / BEST_FILE)
        yield run / name
    finally:
        scratch.let_go(run)
