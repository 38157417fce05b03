"""Saves a checkpoint and waits for it."""

from trainable.experiment.directory import Experiment
from trainable.training.trainer import Trainer


def save_due(experiment: Experiment, trainer: Trainer) -> bool:
    """Saves after an epoch if the config says so; returns whether it did."""
    future = experiment.begin_save(trainer)
    if future is not None:
        future.result()
    return future is not None
