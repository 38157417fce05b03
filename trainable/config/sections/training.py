"""`seed`, `training` and `amp`: how a training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from trainable.config.schema import NonNegative, Positive, Section


class SeedConfig(Section):
    """`seed`: what makes a run repeatable."""

    enabled: bool = Field(default=False, examples=[True])
    """Seed Python, NumPy and torch. Where false a seed is drawn and kept in the checkpoints, so
    that a resume continues the same run."""
    value: int = Field(default=42, ge=0, lt=2**63, examples=[7])
    """The seed. Each epoch's data order, crops and flips follow from it and the epoch's number
    alone."""
    deterministic: bool = Field(default=False, examples=[True])
    """Deterministic algorithms: bit-equal reruns, slower."""
    threads: PositiveInt | None = Field(default=None, examples=[1])
    """CPU threads; sums over several differ in their last bits. `null`: `resources.cpu` in a
    sweep, else one per core. Under `deterministic`, `config.yaml` and checkpoints have the number
    that was used, and a training from them uses it again."""


class ClipGrad(Section):
    """How gradients are clipped before a step; one of the keys."""

    replaced_whole = True

    norm: Positive | None = Field(default=None, examples=[1.0])
    """Largest norm of all gradients together; above it all are scaled down."""
    value: Positive | None = Field(default=None, examples=[0.5])
    """Largest absolute value of an element."""
    agc: Positive | None = Field(default=None, examples=[0.01])
    """Adaptive gradient clipping (Brock et al., ICML 2021): largest norm of a unit's gradient
    relative to that of its weights. The classifier is left out, as there."""

    @model_validator(mode="after")
    def _check_one(self) -> ClipGrad:
        given = [key for key in ("norm", "value", "agc") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"must have one of norm, value and agc, found {', '.join(given)}")
        return self


class EarlyStopping(Section):
    """`training.early_stopping`: ends a training that no longer improves."""

    patience: PositiveInt = Field(default=10, examples=[5])
    """Epochs in a row without an improvement after which the training ends."""
    min_delta: NonNegative = Field(default=0.0, examples=[0.001])
    """An improvement is larger than this."""
    monitor: str | None = Field(default=None, examples=["val_loss"])
    """The metric that must improve: `train_loss`, `train_acc`, or what `checkpoint.monitor` can
    be. Losses are to fall, other metrics to rise, or as they say themselves. `null`:
    `checkpoint.monitor`."""


class TrainingConfig(Section):
    """`training`: how long and in what batches."""

    batch_size: PositiveInt = Field(default=128, examples=[256])
    """Images a batch, in training and evaluation. A last training batch of one image is left
    out."""
    epochs: PositiveInt = Field(examples=[60])
    """Total number of epochs, including those before a resume."""
    sampler: Literal["shuffle", "balanced"] = Field(default="shuffle", examples=["balanced"])
    """The images of an epoch. `shuffle`: each once. `balanced`: as many draws, with replacement,
    in which every class is equally likely."""
    early_stopping: EarlyStopping | None = Field(default=None, examples=[{"patience": 5}])
    """End the training when it no longer improves; see below."""
    max_seconds: Positive | None = Field(default=None, examples=[3600])
    """End the training after the epoch in which it has trained for so long, evaluations included
    and resumes added up; see below."""
    test_frequency: PositiveInt = Field(default=10, examples=[5])
    """With a `val_split`: epochs between looks at the test set; the last epoch always looks."""
    accumulation_steps: PositiveInt = Field(default=1, examples=[2])
    """Every batch is run in this many parts whose gradients add up: less memory, the same steps
    but for batch norm. The parts of an odd batch differ by one image; a part has at least two."""
    clip_grad: ClipGrad | None = Field(default=None, examples=[{"norm": 1.0}])
    """How gradients are clipped before each step: `{norm: x}`, `{value: x}` or `{agc: x}`; `null`:
    not at all."""
    cuda_graph: Literal["auto"] | bool = Field(default="auto", examples=[False])
    """On a GPU, a whole step (forward and backward pass, scaling of the loss, optimizer) is
    recorded at the fourth full batch and replayed from then on, so that small networks do not
    wait for Python to launch each kernel. See below. Not yet run on a GPU."""
    cache_features: bool = Field(default=True, examples=[False])
    """With `model.freeze: backbone` and no `unfreeze_epoch`, compute the input of the classifier
    once, keep it on disk and share it among all trials of a node. `false` runs the backbone on
    every batch. See below."""
    cached_passes: PositiveInt = Field(default=8, examples=[16])
    """Augmented passes over the training images whose features are kept, if there is any
    augmentation; they are used in turn."""
    compile: Literal["auto"] | bool = Field(default=False, examples=[True])
    """The model is compiled with `torch.compile`: about a minute for the first trial of a worker,
    less where the compiler's cache on disk knows the model; later trials of the same model and
    batch size in that worker use the compiled code. `auto` compiles only on a GPU, only recorded
    trainings of built-in models, and only those of at least 78,000 full batches (an estimate, not
    yet measured). Needs a C++ compiler or, on a GPU, Triton; without one the model runs
    uncompiled and the log says why. The last digits of the metrics may differ from those without
    it."""


class AmpConfig(Section):
    """`amp`: mixed precision, on CUDA only."""

    enabled: bool = Field(default=False, examples=[True])
    """Mixed precision. It has an effect on a GPU only; elsewhere a note says that it is off."""
    dtype: Literal["bfloat16", "float16"] = Field(default="bfloat16", examples=["float16"])
    """`float16` scales the loss and adds `scaler_state_dict` to checkpoints; `bfloat16` needs no
    scaling."""
