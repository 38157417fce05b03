"""`model`: the architecture, and the weights that it starts from."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from trainable.config.names import check_name
from trainable.config.own_code import is_own_code
from trainable.config.schema import Arguments, Section, UserPath
from trainable.uri import is_uri

MODEL_NAMES = (
    "cnv", "mobilenetv1", "resnet101", "resnet110", "resnet152", "resnet18", "resnet20",
    "resnet32", "resnet34", "resnet44", "resnet50", "resnet56", "vgg11", "vgg13", "vgg16", "vgg19",
)  # fmt: skip
"""Built-in models; a contract test holds this equal to `trainable.models.list_models()`."""

TIMM = "timm/"
TORCHVISION = "torchvision/"
WEIGHT_FILES = (".pt", ".pth", ".safetensors")
"""Ends of the names of files that `model.pretrained` may have."""


def is_library_model(name: str) -> bool:
    """Returns whether a `model.name` is one of timm's or torchvision's models."""
    return name.startswith((TIMM, TORCHVISION)) and not is_own_code(name)


class FrozenStages(Section):
    """The first stages of a model, which are not trained."""

    replaced_whole = True

    stages: PositiveInt = Field(examples=[2])
    """Their number. The first stage is the stem; each later one begins where the images are made
    smaller, or is a block where they are not, as in vision transformers."""


def is_same_name(first: str, second: str) -> bool:
    """Returns whether two names are of the same model: a library's may lack its tag."""
    shorter, longer = sorted((first, second), key=len)
    return shorter == longer or (is_library_model(shorter) and longer.startswith(f"{shorter}."))


class ModelConfig(Section):
    """`model`: the architecture, and the weights that it starts from."""

    name: str = Field(examples=["resnet18"])
    """A built-in model; `timm/NAME` or `timm/NAME.TAG` for a model of timm, e.g.
    `timm/resnet50.a1_in1k` (`pip install "tune-sweeps[timm]"`); `torchvision/NAME` for one of
    torchvision; or `module:callable` for one of your own: called with the keywords `num_classes`
    and `in_channels`, it returns a `torch.nn.Module`. Its module is looked for in the working
    directory and beside the file. That runs your code, so the command line must allow it:
    `--allow-custom-model`. Before a training or a sweep, a model that is not built in is run once
    on two images: it must return logits `[2, num_classes]`."""
    pretrained: bool | UserPath = Field(
        default=False, examples=[True], json_schema_extra={"format": "path"}
    )
    """Weights to start from. `true`: those that timm or torchvision have for the model, downloaded
    once per machine. A path: a file `.pt`, `.pth` or `.safetensors` of the same architecture, also
    a checkpoint of an earlier training. It must have all weights but those of the classifier,
    which is new where the number of classes is another one."""
    head_init: Literal["library", "small", "zero"] = Field(default="small", examples=["zero"])
    """How a new classifier starts where other weights were loaded. `small`: normal with a standard
    deviation of 0.01, bias 0. `zero`: zeros. `library`: as the model's own code does."""
    args: Arguments = Field(default={}, examples=[{"drop_path_rate": 0.1}])
    """More arguments of a model that is not built in, by name. Each can be swept by its dotted
    key, e.g. `model.args.drop_path_rate`. A model of timm with a fixed input size gets its
    `img_size` from the data."""
    freeze: Literal["none", "backbone"] | FrozenStages = Field(
        default="none", examples=["backbone"]
    )
    """The part that is not trained. `backbone`: everything but the classifier. `{stages: N}`: the
    first N stages. Frozen parts run as in evaluation, so that the statistics of their BatchNorm
    stay."""
    unfreeze_epoch: PositiveInt | None = Field(default=None, examples=[3])
    """The epoch, counted from 1, from which on everything is trained; `null`: none."""
    batch_norm: Literal["train", "eval"] = Field(default="train", examples=["eval"])
    """How BatchNorm layers of parts that are trained run. `train`: they normalise with the
    statistics of the batch. `eval`: with those of the pretrained weights, which stay, as in
    evaluation; their weight and bias are trained. `eval` suits few images, and small batches,
    whose statistics are noisy."""
    num_classes: int | None = Field(default=None, ge=2, examples=[10])
    """`null` takes the data set's."""
    in_channels: PositiveInt | None = Field(default=None, examples=[3])
    """`null` takes the data set's. Weights for three channels are adapted to another number: for
    one they are summed."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name.startswith((TIMM, TORCHVISION)) and re.fullmatch(r"\w+/[\w-]+(\.[\w.-]+)?", name):
            return name
        if not is_own_code(name):
            return check_name(name, MODEL_NAMES)
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name):
            raise ValueError(
                "must be a built-in model, timm/NAME, torchvision/NAME or module:callable, found "
                f'"{name}"'
            )
        return name

    @field_validator("pretrained")
    @classmethod
    def _check_file(cls, pretrained: bool | str) -> bool | str:
        if isinstance(pretrained, bool):
            return pretrained
        if is_uri(pretrained):
            raise ValueError(
                f"must be a path that every machine of the sweep has, found {pretrained}"
            )
        if not pretrained.endswith(WEIGHT_FILES):
            ends = ", ".join(WEIGHT_FILES)
            raise ValueError(
                f"must be true, false or the path of a file {ends}, found {pretrained!r}"
            )
        return pretrained

    @model_validator(mode="after")
    def _check_source(self) -> ModelConfig:
        if self.pretrained is True and not is_library_model(self.name):
            raise ValueError(
                f"pretrained must be the path of a file for {self.name}: only models of timm and "
                "torchvision (timm/NAME, torchvision/NAME) have weights of their own, found true"
            )
        if self.batch_norm == "eval" and not (self.pretrained or is_own_code(self.name)):
            raise ValueError(
                "batch_norm must be train without pretrained weights, found eval: the statistics "
                "of a new model are of no images"
            )
        if self.args and self.name in MODEL_NAMES:
            raise ValueError(
                f"args must be empty for {self.name}: a built-in model takes none, found "
                f"{', '.join(self.args)}"
            )
        for name in ("num_classes", "in_channels"):
            if name in self.args:
                raise ValueError(f"args must not have {name}, which is a key of model")
        return self
