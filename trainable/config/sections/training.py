"""`seed`, `training` and `amp`: how a training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from trainable.config.schema import Section


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


class TrainingConfig(Section):
    """`training`: how long and in what batches."""

    batch_size: PositiveInt = Field(default=128, examples=[256])
    """Images a batch, in training and evaluation. A last training batch of one image is left
    out."""
    epochs: PositiveInt = Field(examples=[60])
    """Total number of epochs, including those before a resume."""
    test_frequency: PositiveInt = Field(default=10, examples=[5])
    """With a `val_split`: epochs between looks at the test set; the last epoch always looks."""
    accumulation_steps: PositiveInt = Field(default=1, examples=[2])
    """Every batch is run in this many parts whose gradients add up: less memory, the same steps
    but for batch norm. The parts of an odd batch differ by one image; a part has at least two."""
    cuda_graph: Literal["auto"] | bool = Field(default="auto", examples=[False])
    """On a GPU, a whole step (forward and backward pass, scaling of the loss, optimizer) is
    recorded at the fourth full batch and replayed from then on, so that small networks do not
    wait for Python to launch each kernel. See below. Not yet run on a GPU."""
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
