"""One contract for every built-in model, and custom models."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import trainable.models
from trainable.config import MODEL_NAMES, TrainConfig, parse_config
from trainable.errors import TuneSweepsError
from trainable.models import get_model, list_models

MILLIONS = {
    "cnv": 1.5,
    "mobilenetv1": 3.2,
    "resnet18": 11.2,
    "resnet20": 0.27,
    "resnet32": 0.46,
    "resnet34": 21.3,
    "resnet44": 0.66,
    "resnet50": 23.5,
    "resnet56": 0.85,
    "resnet101": 42.5,
    "resnet110": 1.7,
    "resnet152": 58.1,
    "vgg11": 9.2,
    "vgg13": 9.4,
    "vgg16": 14.7,
    "vgg19": 20.0,
}
"""Documented parameter counts for 3 channels and 10 classes."""

BIG = [name for name in list_models() if MILLIONS[name] > 15]
"""Slow models: counted and run once; other tests use a smaller model of the family."""

MODERATE = [name for name in list_models() if name not in BIG]
LARGE = {"resnet18", "resnet44", "resnet56", "resnet110", "vgg11", "vgg13", "vgg16", *BIG}
"""Their families are tried by smaller models."""


def slow_if(condition: bool) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if condition else []


MODERATE_MODELS = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=slow_if(name in LARGE)) for name in MODERATE]
)
SHAPES = [(3, 32, 32), (1, 28, 28), (1, 8, 8)]
FAMILIES = [
    "cnv",
    "mobilenetv1",
    "resnet20",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "resnet50", "vgg11")),
]


def config_for(name: str, *, shape: tuple[int, ...] = (3, 32, 32)) -> TrainConfig:
    return parse_config(
        {
            "dataset": {"name": "synthetic", "shape": list(shape)},
            "model": {"name": name},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )


def build(name: str, *, seed: int = 0, shape: tuple[int, ...] = (3, 32, 32)) -> nn.Module:
    torch.manual_seed(seed)
    return get_model(config_for(name, shape=shape))


def images_of(shape: tuple[int, ...], batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------------- every model


def test_the_config_names_exactly_the_models_that_can_be_built():
    assert list_models() == sorted(MODEL_NAMES)
    assert list_models() == sorted(MILLIONS)


@pytest.mark.parametrize("name", list_models())
def test_the_parameter_count_is_the_documented_one(name):
    with torch.device("meta"):
        model = get_model(config_for(name))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == pytest.approx(MILLIONS[name] * 1e6, rel=0.03)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(name, shape, marks=slow_if(name in LARGE or shape == SHAPES[1]))
        for name in list_models()
        for shape in (SHAPES[:1] if name in BIG else SHAPES)
    ],
)
def test_images_of_any_data_set_become_logits(name, shape):
    model = build(name, shape=shape)
    with torch.no_grad():
        logits = model(images_of(shape))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()


@MODERATE_MODELS
def test_every_parameter_gets_a_finite_gradient(name):
    model = build(name)
    loss = nn.functional.cross_entropy(model(images_of(SHAPES[0])), torch.tensor([0, 9]))
    loss.backward()
    assert loss.isfinite()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert sum(parameter.grad.abs().sum() for parameter in model.parameters()) > 0


@MODERATE_MODELS
def test_a_loaded_state_dict_gives_equal_outputs(name):
    images = images_of(SHAPES[0])
    model = build(name)
    model(images)  # moves the running statistics of batch norm, which must travel too
    other = build(name, seed=1)
    model.eval()
    other.eval()
    with torch.no_grad():
        assert not torch.equal(model(images), other(images))
        other.load_state_dict(model.state_dict())
        assert torch.equal(model(images), other(images))


@MODERATE_MODELS
def test_the_same_seed_gives_the_same_initial_weights(name):
    first, second = build(name, seed=3).state_dict(), build(name, seed=3).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", FAMILIES)
def test_channels_last_survives_to_every_convolution_under_autocast(name):
    model = build(name).to(memory_format=torch.channels_last)
    layouts = {}
    for key, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(
                lambda _, args, key=key: layouts.update(
                    {key: args[0].is_contiguous(memory_format=torch.channels_last)}
                )
            )
    images = images_of(SHAPES[0]).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
        loss = nn.functional.cross_entropy(logits, torch.tensor([0, 9]))
    loss.backward()
    assert loss.isfinite()
    assert layouts
    assert all(layouts.values()), layouts


@pytest.mark.parametrize("name", FAMILIES)
def test_convolutions_keep_the_variance_of_he(name):
    for key, module in build(name).named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fans = nn.init._calculate_fan_in_and_fan_out(module.weight)  # torchvision: fan_out
            expected = [(2 / fan) ** 0.5 for fan in fans]
            assert module.weight.std().item() in [pytest.approx(e, rel=0.05) for e in expected], (
                key
            )


def test_cnv_centres_a_small_image_in_zeros():
    model = build("cnv", shape=(1, 32, 32)).eval()
    image = images_of((1, 9, 28))
    padded = torch.zeros(2, 1, 32, 32)
    padded[:, :, 11:20, 2:30] = image
    with torch.no_grad():
        assert torch.equal(model(image), model(padded))


def test_cnv_takes_an_image_above_its_size():
    with torch.no_grad():
        assert build("cnv")(images_of((3, 48, 33))).shape == (2, 10)


def test_the_short_name_is_the_same_function(monkeypatch):
    aliases = Path(trainable.models.__file__).parents[1] / "aliases"
    monkeypatch.syspath_prepend(str(aliases))
    monkeypatch.delitem(sys.modules, "models", raising=False)
    models = importlib.import_module("models")
    monkeypatch.delitem(sys.modules, "models")
    assert models.get_model is get_model
    assert models.list_models is list_models


# ---------------------------------------------------------------------------- custom models

OWN_MODULE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        head = nn.Linear(in_channels, num_classes)
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    @classmethod
    def wide(cls, **shape):
        return cls(**shape)

def broken(num_classes, in_channels):
    return Net(num_classes)

def returns_text(num_classes, in_channels):
    return "no module"

def takes_width(width):
    return Net(width, width)

CONSTANT = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Makes a module with custom models importable; returns its name."""
    name = "own_models_of_a_test"
    (tmp_path / f"{name}.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_a_custom_model_is_built_when_allowed(own):
    model = get_model(config_for(f"{own}:Net", shape=(1, 8, 8)), allow_custom=True)
    assert model(images_of((1, 8, 8))).shape == (2, 10)


def test_a_custom_model_is_not_imported_unless_allowed(own):
    with pytest.raises(TuneSweepsError, match=r"--allow-custom-model .*allow_custom=True"):
        get_model(config_for(f"{own}:Net"))
    assert own not in sys.modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("OWN:Nets", 'has no callable "Nets"; did you mean "Net"?'),
        ("OWN:CONSTANT", 'has no callable "CONSTANT"'),
        ("OWN:returns_text", "must return a torch.nn.Module, found str"),
        ("OWN:takes_width", "must take the keywords num_classes and in_channels"),
        (
            "no_such_module_here:Net",
            "there is no module no_such_module_here; no_such_module_here.py must be in",
        ),
        ("OWN:Net.inner", 'has no callable "Net.inner"'),
    ],
)
def test_a_wrong_custom_model_is_explained(own, target, message):
    target = target.replace("OWN", own)
    with pytest.raises(TuneSweepsError) as caught:
        get_model(config_for(target), allow_custom=True)
    assert message in str(caught.value)
    assert target in str(caught.value)


def test_a_custom_model_may_be_an_attribute_of_a_class(own):
    model = get_model(config_for(f"{own}:Net.wide"), allow_custom=True)
    assert model(images_of(SHAPES[0])).shape == (2, 10)


def test_an_error_inside_a_custom_model_keeps_its_type(own):
    with pytest.raises(TypeError, match="in_channels"):
        get_model(config_for(f"{own}:broken"), allow_custom=True)
