"""Names of the files that a training leaves on disk, and of an experiment's directory.

Loads neither torch nor Ray: the driver of a sweep imports it.
"""

from __future__ import annotations

import re
from datetime import datetime

from trainable.config import TrainConfig
from trainable.config.sections.model import is_library_model

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"
CLASSES_FILE = "classes.jsonl"
"""The metrics that have a value for every class, one row per epoch; only if there are any."""
SPLIT_TABLE = "split.csv"
"""The split of every image; only of data sets of files."""
LOG_FILE = "trial.log"

TENSORBOARD = "tensorboard"
EVENT_FILES = "events.out.tfevents.*"
"""The event files in `tensorboard/`."""

CHECKPOINTS = "checkpoints"
LATEST_FILE = "latest.pt"
BEST_FILE = "best.pt"
EPOCH_FILES = "epoch_*.pt"
ABANDONED = "abandoned_"
"""Beginning of the names of directories for the checkpoints that a resume from an earlier epoch
sets aside; a number follows."""

CHECKPOINT_FILE = "checkpoint.pt"
"""The file in each of Tune's `checkpoint_NNNNNN` directories."""

TIMESTAMP = "%Y%m%d_%H%M%S"


def epoch_file(epoch: int) -> str:
    """Returns the name of an epoch's own checkpoint, e.g. `epoch_0010.pt`."""
    return f"epoch_{epoch:04d}.pt"


def epoch_of(name: str) -> int:
    """Returns the epoch in the name of an epoch's own checkpoint; 0 for another file."""
    match = re.fullmatch(r"epoch_(\d+)\.pt", name)
    return int(match[1]) if match else 0


def automatic_name(config: TrainConfig, now: datetime) -> str:
    """Returns `{model}_{dataset}_{timestamp}`.

    A model or data set of the user's, `module:callable`, is named by its callable, and a model of
    a library by its architecture: `timm/resnet50.a1_in1k` is `resnet50`.
    """
    name = config.model.name
    if is_library_model(name):
        model = name.partition("/")[2].partition(".")[0]
    else:
        model = name.rpartition(":")[2]
    dataset = config.dataset.name.rpartition(":")[2]
    return f"{model}_{dataset}_{now.strftime(TIMESTAMP)}"
