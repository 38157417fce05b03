"""One contract for a sample of timm's and torchvision's models; three of them by default."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.optional import skip_module_without
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import parse_config
from trainable.models import get_model, get_model_on_meta
from trainable.models.heads import head_parameters
from trainable.training.trainer import Trainer

skip_module_without("timm")

CLASSES = 4
SIDE = 96

QUICK = ["timm/test_resnet", "timm/test_vit", "torchvision/squeezenet1_1"]

TIMM = [
    "resnet18", "resnet10t", "seresnext26t_32x4d", "regnetx_002", "densenet121", "vgg11_bn",
    "tf_efficientnet_lite0", "efficientnet_b0", "mobilenetv3_small_050", "mobilenetv4_conv_small",
    "ghostnet_100", "hrnet_w18_small", "convnext_atto", "convnextv2_atto", "vit_tiny_patch16_224",
    "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224", "levit_128s",
    "mobilevitv2_050", "nfnet_l0", "edgenext_xx_small", "poolformer_s12", "inception_next_atto",
    "dla34",
]  # fmt: skip

TORCHVISION = [
    "resnet18", "alexnet", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0",
    "regnet_y_400mf", "densenet121", "convnext_tiny", "squeezenet1_0", "googlenet",
]  # fmt: skip

SLOW = [*(f"timm/{name}" for name in TIMM), *(f"torchvision/{name}" for name in TORCHVISION)]

SIZES = {"timm/swin_tiny_patch4_window7_224": 224}
"""Models that need images of another size: windows of 7 do not divide a small one."""


def config_of(name: str) -> Any:
    side = SIZES.get(name, SIDE)
    return parse_config(
        {
            "dataset": {
                "name": "synthetic", "shape": [3, side, side], "num_classes": CLASSES,
                "num_train": 4, "num_test": 4, "augment": False,
            },
            "model": {"name": name},
            "training": {"epochs": 1, "batch_size": 4},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "seed": {"enabled": True, "value": 1},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_model_is_built_trained_saved_and_loaded(name: str) -> None:
    trainer = Trainer(config_of(name), device=torch.device("cpu"))
    row = trainer.run_epoch()
    assert math.isfinite(row["train_loss"])
    assert math.isfinite(row["val_loss"])
    file = io.BytesIO()
    torch.save(to_cpu(trainer.state_dict()), file)
    file.seek(0)
    state = torch.load(file)  # torch's defaults
    config = parse_config(state["config"])
    model = get_model(config)
    model.load_state_dict(state["model_state_dict"])
    _check_same_logits(model, trainer.model, trainer.source.shape)
    shapes = {key: tensor.shape for key, tensor in get_model_on_meta(config).state_dict().items()}
    assert shapes == {key: tensor.shape for key, tensor in model.state_dict().items()}
    heads = dict(model.named_parameters())
    widths = {heads[key].shape[0] for key in head_parameters(model) if key.endswith(".weight")}
    assert widths == {CLASSES}
    again = Trainer(config, device=torch.device("cpu"), pretrained=False)
    again.load_state_dict(state)
    assert again.epoch == 1


def _check_same_logits(first: nn.Module, second: nn.Module, shape: tuple[int, int, int]) -> None:
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits: Tensor = first.eval()(images)
        torch.testing.assert_close(logits, second.eval()(images), rtol=1e-3, atol=1e-4)
    assert logits.shape == (2, CLASSES)
