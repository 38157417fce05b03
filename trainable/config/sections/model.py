"""`model`: the architecture."""

from __future__ import annotations

import re

from pydantic import Field, PositiveInt, field_validator

from trainable.config.names import check_name
from trainable.config.own_code import is_own_code
from trainable.config.schema import Section

MODEL_NAMES = (
    "cnv", "mobilenetv1", "resnet101", "resnet110", "resnet152", "resnet18", "resnet20",
    "resnet32", "resnet34", "resnet44", "resnet50", "resnet56", "vgg11", "vgg13", "vgg16", "vgg19",
)  # fmt: skip
"""Built-in models; a contract test holds this equal to `trainable.models.list_models()`."""


class ModelConfig(Section):
    """`model`: the architecture."""

    name: str = Field(examples=["resnet18"])
    """A built-in model, or `module:callable` for one of your own: called with the keywords
    `num_classes` and `in_channels`, it returns a `torch.nn.Module`. Its module is looked for in
    the working directory and beside the file. That runs your code, so the command line must allow
    it: `--allow-custom-model`. Before a training or a sweep it is run once on two images: it must
    return logits `[2, num_classes]`."""
    num_classes: int | None = Field(default=None, ge=2, examples=[10])
    """`null` takes the data set's."""
    in_channels: PositiveInt | None = Field(default=None, examples=[3])
    """`null` takes the data set's."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not is_own_code(name):
            return check_name(name, MODEL_NAMES)
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name):
            raise ValueError(f'must be a built-in model or module:callable, found "{name}"')
        return name
