"""The schedules against torch's, by epochs and by steps."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from trainable.config.sections.scheduler import (
    CosineRestartsScheduler,
    CosineScheduler,
    ExponentialScheduler,
    InverseSqrtScheduler,
    LinearScheduler,
    MultiStepScheduler,
    OneCycleScheduler,
    PolynomialScheduler,
    StepScheduler,
)
from trainable.optim.closed_forms import Position, compute_lr

EPOCHS, STEPS = 7, 5
BASE = 0.3


def torchs(build):
    """The rates of one of torch's schedulers that is stepped once a unit, in every unit."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = build(optimizer)
    rates = []
    for _ in range(EPOCHS * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(config, per_epoch):
    units = EPOCHS * STEPS
    return [compute_lr(config, BASE, Position(unit, units, per_epoch)) for unit in range(units)]


def one_cycle(**options):
    return lambda o: lr_scheduler.OneCycleLR(
        o, BASE, total_steps=EPOCHS * STEPS + 1, cycle_momentum=False, **options
    )


@pytest.mark.parametrize(
    ("config", "build"),
    [
        (
            CosineScheduler(eta_min=0.01),
            lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS, 0.01),
        ),
        (
            PolynomialScheduler(name="polynomial", power=2),
            lambda o: lr_scheduler.PolynomialLR(o, EPOCHS * STEPS, 2),
        ),
        (
            PolynomialScheduler(name="polynomial", T_max=20),
            lambda o: lr_scheduler.PolynomialLR(o, 20, 1),
        ),
        (
            LinearScheduler(name="linear", end_factor=0.1, T_max=30),
            lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, 30),
        ),
        (
            CosineRestartsScheduler(name="cosine_restarts", T_0=4, T_mult=2, eta_min=0.02),
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4, 2, 0.02),
        ),
        (StepScheduler(name="step", step_size=3), lambda o: lr_scheduler.StepLR(o, 3)),
        (
            MultiStepScheduler(name="multistep", milestones=(9, 4)),
            lambda o: lr_scheduler.MultiStepLR(o, [4, 9]),
        ),
        (
            ExponentialScheduler(name="exponential", gamma=0.9),
            lambda o: lr_scheduler.ExponentialLR(o, 0.9),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_schedules_by_epochs_are_torchs(config, build):
    assert ours(config, 1) == pytest.approx(torchs(build), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_one_cycle_is_torchs(strategy, share):
    config = OneCycleScheduler(
        name="one_cycle", pct_start=share, div_factor=10.0, anneal_strategy=strategy
    )
    total = EPOCHS * STEPS + 1
    rates = [compute_lr(config, BASE, Position(unit, total, STEPS)) for unit in range(total - 1)]
    options = {"pct_start": share, "div_factor": 10.0, "anneal_strategy": strategy}
    assert rates == pytest.approx(torchs(one_cycle(**options)), rel=1e-9, abs=1e-12)


def test_one_cycle_ends_at_its_last_rate_and_survives_few_units():
    config = OneCycleScheduler(name="one_cycle")
    last = compute_lr(config, BASE, Position(EPOCHS - 1, EPOCHS))
    assert last == pytest.approx(BASE / 25 / 1e4)
    assert compute_lr(config, BASE, Position(0, 1)) == BASE
    assert compute_lr(config, BASE, Position(1, 2)) == pytest.approx(BASE / 25 / 1e4)


def test_cosine_restarts_by_steps_are_torchs_at_parts_of_epochs():
    config = CosineRestartsScheduler(name="cosine_restarts", T_0=2, T_mult=2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 2)
    for unit, rate in enumerate(ours(config, STEPS)):
        scheduler.step(unit / STEPS)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_each_restart_begins_lower_with_a_decay():
    config = CosineRestartsScheduler(name="cosine_restarts", T_0=2, decay=0.5)
    starts = [compute_lr(config, BASE, Position(unit, 8)) for unit in (0, 2, 4)]
    assert starts == [BASE, BASE / 2, BASE / 4]


def test_inverse_square_root_counts_epochs_in_both_units():
    config = InverseSqrtScheduler(name="inverse_sqrt", timescale=2.0)
    rates = [compute_lr(config, BASE, Position(epoch, EPOCHS)) for epoch in range(EPOCHS)]
    assert rates == [BASE / math.sqrt(1 + epoch / 2) for epoch in range(EPOCHS)]
    assert ours(config, STEPS)[::STEPS] == rates
    assert compute_lr(config, BASE, Position(6, 9)) == BASE / 2


@pytest.mark.parametrize(
    "config",
    [
        StepScheduler(name="step", step_size=2),
        MultiStepScheduler(name="multistep", milestones=(3,)),
        ExponentialScheduler(name="exponential"),
        CosineScheduler(),
        LinearScheduler(name="linear"),
    ],
    ids=lambda config: config.name,
)
def test_at_the_start_of_epochs_steps_have_the_rates_of_epochs(config):
    by_epochs = [compute_lr(config, BASE, Position(epoch, EPOCHS)) for epoch in range(EPOCHS)]
    by_steps = ours(config, STEPS)
    assert by_steps[::STEPS] == pytest.approx(by_epochs, rel=1e-12)
    assert by_steps == sorted(by_steps, reverse=True)
