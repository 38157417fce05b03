"""A save that is waited for."""

from trainable.experiment.directory import Experiment
from trainable.training.trainer import Trainer


def save_due(experiment: Experiment, trainer: Trainer) -> bool:
    """Saves after an epoch if the config asks for it; returns whether it did."""
    writing = experiment.begin_save(trainer)
    if writing is not None:
        writing.result()
    return writing is not None
