"""Settings of a trial besides its training config, and the names that trial and sweep share.

Imports neither Ray nor torch.
"""

from __future__ import annotations

SETTINGS = "_trial"
"""Key of the trial's config for the settings that are not the training's: a mapping of

- `gpu`: the share of a GPU, or number of GPUs, that the trial may use;
- `cpu`: its number of CPUs;
- `sampled`: the dotted config keys that the search space sets;
- `mutated`: the dotted config keys that a scheduler may change during training;
- `keep_epochs`, `min_free_gib`: see `Experiment`;
- `allow_custom_model`: whether `model.name` may import a callable;
- `workers`: the names of the `SharedWorker` actors that train the trials, with
  `resources.process: shared`; `gpu` is then the worker's share;
- `split`: which images the sweep holds out, as `SplitRecord.to_dict` returns it; without it the
  trial draws them, or takes over those of the checkpoint from which it continues;
- `suspect`: whether the trial may have crashed its process;
- `weights`: the checkpoint, relative to the sweep's directory, whose weights the trial starts from
  instead of those of its config;
- `remote`: the arguments of `StoredTrial`, in a sweep in object storage.
"""

REMOTE = "remote"

WORKERS = "workers"

SPLIT = "split"

SUSPECT = "suspect"

WEIGHTS = "weights"

VALUES = "values"
"""Key in a row of `metrics.jsonl`, under a scheduler that changes values: what the sweep sets,
dotted config key -> the value that the epoch was trained with."""
SAVED = "saved"
"""Key in the result of a step: whether a checkpoint was written after the epoch."""
ENDED = "ended"
"""Key in the result of a step: whether the training has ended or diverged."""

STOPPED_BY = "stopped_by"
"""Key in the last row of a training that ended by itself before its last epoch: the key of
`training` that ended it."""
STOP_REASON = "stop_reason"
"""Key in the same row: the reason in words."""
EARLY_STOPPING, MAX_SECONDS = "early_stopping", "max_seconds"
