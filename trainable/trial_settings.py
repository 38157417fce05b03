"""What a trial is told besides its training config, and the names it shares with its sweep.

Without Ray and torch.
"""

from __future__ import annotations

SETTINGS = "_trial"
"""Key of the trial's config that holds what is not the training's: a mapping of

- `gpu`: the fraction of a card, or number of cards, that the trial may use;
- `cpu`: its share of cores;
- `sampled`: dotted keys of the config that the search space sets;
- `mutated`: those that a scheduler may change in mid-training;
- `keep_epochs`, `min_free_gib`: see `Experiment`;
- `allow_custom_model`: whether `model.name` may import a callable;
- `workers`: names of the `SharedWorker` actors that train the trials, with `resources.process:
  card`; there `gpu` is what such a process has;
- `suspect`: whether it may be the one of which a process dies;
- `remote`: the arguments of `StoredTrial`, of a sweep in object storage.
"""

REMOTE = "remote"

WORKERS = "workers"

SUSPECT = "suspect"

HYPERPARAMETERS = ("optimizer.learning_rate", "optimizer.weight_decay", "optimizer.momentum")
"""What a restored trial takes from its own config, not from the checkpoint: all of `optimizer`."""

SAVED = "saved"
"""Key of a step's row: whether a checkpoint was written after the epoch."""
ENDED = "ended"
"""Key of a step's row: whether the training has come to its end, good or bad."""
