"""A fine-tuning recipe on a GPU: all parts at once, resumed, recorded; a frozen backbone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.gpu.checks.common import (
    Check,
    assert_close,
    count_waits,
    data_of,
    losses,
    need_gpu,
    state_of,
    trained,
    trainer_of,
)
from trainable.training.epoch import drain

AUGMENT: dict[str, Any] = {
    "crop": {"min_scale": 0.5},
    "horizontal_flip": 0.5,
    "rotation": 10,
    "randaugment": {"magnitude": 9},
    "color_jitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05},
    "blur": {"probability": 0.2},
    "erasing": {"probability": 0.25},
    "mixup": {"alpha": 0.2, "probability": 0.5},
    "cutmix": {"probability": 0.5},
}
RECIPE: dict[str, Any] = {
    "training": {"clip_grad": {"norm": 1.0}, "sampler": "balanced"},
    "model": {"name": "resnet20", "freeze": {"stages": 1}, "unfreeze_epoch": 2},
    "optimizer": {
        **{"name": "adamw", "learning_rate": 2.0**-10, "weight_decay": 0.02},
        **{"layer_decay": 0.8, "head_lr_factor": 4.0, "decay_norm_and_bias": False},
    },
    "scheduler": {"name": "cosine", "on": "step", "warmup_steps": 5},
    "ema": {"enabled": True, "decay": 0.9},
    "augment": AUGMENT,
    "loss": {"name": "focal", "weight": "balanced"},
    "metrics": ["f1_macro", "auroc", "top3"],
}


def resumes_equal() -> str:
    whole = trainer_of(**RECIPE)
    first = whole.run_epoch()
    state = state_of(whole)
    second = whole.run_epoch()
    resumed = trainer_of(**RECIPE)
    resumed.load_state_dict(state)
    again = resumed.run_epoch()
    assert losses([again]) == losses([second]), f"{losses([again])} {losses([second])}"
    names = ("model_state_dict", "training_state")
    pairs = [state_of(trainer) for trainer in (resumed, whole)]
    assert_close([pairs[0][n] for n in names], [pairs[1][n] for n in names], 0.0)
    return f"losses {first['train_loss']:.3f} {second['train_loss']:.3f}, the same bits"


def replays_as_eager() -> str:
    """Trains the recipe, without what forbids a recording, with and without one."""
    values = {**RECIPE, "model": {"name": "resnet20"}}
    results = []
    for graph in (False, True):
        training = {**RECIPE["training"], "cuda_graph": graph}
        trainer = trainer_of(**{**values, "training": training})
        results.append(losses(trained(trainer)))
    return assert_close(results[1], results[0], 1e-3)


def nothing_waits() -> str:
    need_gpu()
    trainer = trainer_of(**RECIPE)
    trainer.run_epoch()
    return count_waits(lambda: drain(trainer.train_on(trainer.train_batches(seed=2, epoch=2))))


def frozen_features() -> str:
    """Cached features give the losses of a whole forward pass."""
    results = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TUNE_SWEEPS_FEATURES"] = cache
        for caches in (True, False):
            trainer = trainer_of(
                model={"name": "resnet20", "freeze": "backbone"},
                training={"cache_features": caches},
                dataset={**data_of()["dataset"], "augment": False},
            )
            results.append(losses(trained(trainer)))
        count = len(list(Path(cache).rglob("*")))
    assert count, "nothing was cached"
    return f"{count} files, {assert_close(results[0], results[1], 1e-3)}"


def half_precision() -> str:
    rows = trained(trainer_of(amp="float16", **RECIPE))
    assert all(row["val_f1_macro"] is not None for row in rows)
    return f"loss {losses(rows)[-1][0]:.3f}, macro F1 {rows[-1]['val_f1_macro']:.3f}"


CHECKS: dict[str, Check] = {
    "resume": resumes_equal,
    "recorded": replays_as_eager,
    "no waits": nothing_waits,
    "frozen features": frozen_features,
    "half precision": half_precision,
}
