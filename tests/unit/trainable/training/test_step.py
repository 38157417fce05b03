"""A training step as on a GPU: a skipped first step, and no value that is read back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.replayed_operations import count_launches, record
from trainable.config import TrainConfig, parse_config
from trainable.models import get_model
from trainable.optim.optimizers import DeviceLearningRates, apply_hyperparameters, build_optimizer
from trainable.training.epoch import drain, train_epoch
from trainable.training.losses import build_loss
from trainable.training.step import TrainStep

CPU = torch.device("cpu")
QUICK = {("vgg11", "sgd"), ("resnet20", "adamw"), ("mobilenetv1", "adam")}
"""Pairs of a model and an optimizer that the default run tries."""

# ------------------------------------------------------------------------------ a skipped step


def _config(**sections: Any) -> TrainConfig:
    return parse_config(
        {
            "dataset": {"name": "cifar10"},
            "model": {"name": "resnet20", "num_classes": 10},
            "training": {"epochs": 1},
            **sections,
        },
        "contract",
    )


@pytest.fixture(params=[True, False], ids=["filled", "unfilled"])
def memory_fill(request: pytest.FixtureRequest) -> Iterator[None]:
    """Deterministic algorithms fill new memory with NaN; otherwise it holds old values."""
    torch.use_deterministic_algorithms(request.param)
    yield
    torch.use_deterministic_algorithms(False)


def _step(
    model: torch.nn.Linear,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    by: float,
) -> None:
    optimizer.zero_grad()
    scaler.scale(model(torch.ones(2, 8)).square().mean() * by).backward()
    scaler.step(optimizer)
    scaler.update()


def _weights_after(
    optimizer: str,
    *,
    overflows: bool,
    then: Callable[[torch.optim.Optimizer], None] = lambda _: None,
    **values: Any,
) -> list[torch.Tensor]:
    """Trains three steps, optionally after one that overflows."""
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4)
    section = {"name": optimizer, "learning_rate": 0.01, **values}
    built = build_optimizer(_config(optimizer=section).optimizer, model.parameters(), CPU)
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    then(built)
    for factor in [math.inf] * overflows + [1.0] * 3:
        _step(model, built, scaler, factor)
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.usefixtures("memory_fill")
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_first_step_that_overflows_leaves_no_trace(optimizer: str) -> None:
    skipped = _weights_after(optimizer, overflows=True)
    for left, right in zip(skipped, _weights_after(optimizer, overflows=False), strict=True):
        assert torch.equal(left, right)


def _load_state_without_momentum(optimizer: torch.optim.Optimizer) -> None:
    parameters = [
        torch.nn.Parameter(p.detach().clone()) for p in optimizer.param_groups[0]["params"]
    ]
    other = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    optimizer.load_state_dict(other.state_dict())


def _change_momentum(optimizer: torch.optim.Optimizer) -> None:
    section = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9}
    apply_hyperparameters(optimizer, _config(optimizer=section).optimizer)


@pytest.mark.usefixtures("memory_fill")
@pytest.mark.parametrize("then", [_load_state_without_momentum, _change_momentum])
def test_a_momentum_that_comes_later_starts_as_zeros_too(
    then: Callable[[torch.optim.Optimizer], None],
) -> None:
    values = {"momentum": 0.0, "nesterov": False}
    skipped = _weights_after("sgd", overflows=True, then=then, **values)
    plain = _weights_after("sgd", overflows=False, then=then, **values)
    for left, right in zip(skipped, plain, strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_from_zeros_is_torchs_own_first_step(nesterov: bool) -> None:
    """Torch's first step sets the buffer to the gradient."""
    ours = _weights_after(
        "sgd", overflows=False, momentum=0.9, nesterov=nesterov, weight_decay=0.1
    )
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4)
    plain = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, nesterov=nesterov, weight_decay=0.1, fused=True
    )
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    for _ in range(3):
        _step(model, plain, scaler, 1.0)
    for left, right in zip(ours, model.parameters(), strict=True):
        assert torch.equal(left, right)


# ------------------------------------------------------------------------------ reading back


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(
            ["resnet20", "vgg11", "mobilenetv1"], ["sgd", "adam", "adamw"]
        )
    ],
)
def test_a_step_reads_nothing_back(optimizer: str, model: str) -> None:
    """A fake tensor has no values: `.item()`, `nonzero` and a branch on a tensor all fail."""
    config = _config(
        model={"name": model, "num_classes": 10},
        optimizer={"name": optimizer, "learning_rate": 0.1},
    )
    trained: list[int] = []
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = get_model(config)
        built = build_optimizer(config.optimizer, network.parameters(), CPU)
        step = TrainStep(network, build_loss(config.loss, 10), built, amp_dtype=torch.float16)
        step.rates = DeviceLearningRates(built, CPU)
        assert step.scaler.is_enabled()
        batch = torch.empty(8, 3, 32, 32), torch.zeros(8, dtype=torch.int64)
        with pytest.raises(Exception, match=r"_local_scalar_dense|data-dependent|tolist"):
            drain(train_epoch(step, [batch] * 2), trained.append)
    assert trained == [8, 8]  # only the sums at the end of the pass are read


# ------------------------------------------------------------------------------ launches


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_recorded_step_launches_less(optimizer: str) -> None:
    config = parse_config(
        {
            "dataset": {"name": "cifar10"},
            "model": {"name": "resnet20", "num_classes": 10},
            "training": {"epochs": 1},
            "optimizer": {"name": optimizer, "learning_rate": 0.1},
        }
    )
    model = get_model(config).to(memory_format=torch.channels_last)
    built = build_optimizer(config.optimizer, model.parameters(), CPU)
    step = TrainStep(model, build_loss(config.loss, 10), built, amp_dtype=torch.bfloat16)
    step.rates = DeviceLearningRates(built, CPU)
    step.start_pass()
    images, labels = torch.rand(4, 3, 32, 32), torch.zeros(4, dtype=torch.int64)
    step(images, labels)  # creates the optimizer's buffers

    def work() -> None:
        with step.for_recording():
            step(images, labels)

    # Counted: 241 and 183 with SGD; the oldest torch needs four more.
    assert count_launches(lambda: step(images, labels)) <= 250
    assert record(work).launches < 195
