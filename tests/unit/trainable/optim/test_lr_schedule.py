"""The lr schedule equals torch's schedulers, after resumes and with another base rate."""

import io
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler as torch_lr

from trainable.config import (
    ConstantScheduler,
    CosineScheduler,
    ExponentialScheduler,
    MultiStepScheduler,
    PlateauScheduler,
    StepScheduler,
)
from trainable.config.sections.scheduler import (
    CosineRestartsScheduler,
    InverseSqrtScheduler,
    LinearScheduler,
    OneCycleScheduler,
    PolynomialScheduler,
)
from trainable.errors import CheckpointError
from trainable.optim.lr_schedule import LRSchedule

EPOCHS = 40
BASE = 0.3


def sgd(lr=1.0, groups=1):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))]} for _ in range(groups)], lr)


def make(config, *, base_lr=BASE, epochs=EPOCHS, optimizer=None, steps=1):
    optimizer = optimizer or sgd()
    return LRSchedule(optimizer, config, base_lr=base_lr, epochs=epochs, steps_per_epoch=steps)


def accuracy(epoch):
    """Rises with noise for 15 epochs, then stays."""
    return min(0.9, 0.2 + 0.05 * epoch) + 0.00001 * (epoch % 3)


def plateau(**fields):
    return PlateauScheduler(name="plateau", **fields)


def rates(schedule, epochs=EPOCHS, start=0):
    """Returns the learning rate of every epoch."""
    actual = []
    for epoch in range(start, epochs):
        actual.append(schedule.lr)
        schedule.step(accuracy(epoch), 2.0 - accuracy(epoch))
    return actual


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


STEP = StepScheduler(name="step", step_size=7, gamma=0.5)
MULTISTEP = MultiStepScheduler(name="multistep", milestones=(30, 5, 5, 12), gamma=0.3)
EXPONENTIAL = ExponentialScheduler(name="exponential", gamma=0.9)
CONSTANT = ConstantScheduler(name="none")
ORACLES = {
    "cosine": (CosineScheduler(), partial(torch_lr.CosineAnnealingLR, T_max=EPOCHS)),
    "cosine_eta_min": (
        CosineScheduler(T_max=40, eta_min=0.01),
        partial(torch_lr.CosineAnnealingLR, T_max=40, eta_min=0.01),
    ),
    "step": (STEP, partial(torch_lr.StepLR, step_size=7, gamma=0.5)),
    "multistep": (
        MULTISTEP,
        partial(torch_lr.MultiStepLR, milestones=[30, 5, 5, 12], gamma=0.3),
    ),
    "exponential": (EXPONENTIAL, partial(torch_lr.ExponentialLR, gamma=0.9)),
    "none": (CONSTANT, partial(torch_lr.ConstantLR, factor=1.0)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_a_schedule_equals_torchs_over_40_epochs(name):
    config, oracle = ORACLES[name]
    optimizer = sgd(BASE)
    scheduler = oracle(optimizer)
    expected = []
    for _ in range(EPOCHS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(make(config)) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=50)
@given(
    mode=st.sampled_from(["max", "min"]),
    factor=st.sampled_from([0.1, 0.5, 0.9]),
    patience=st.integers(0, 4),
    min_lr=st.sampled_from([0.0, 1e-6, 0.02, 0.5]),
    metrics=st.lists(
        st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.5001, 0.9, math.nan, math.inf]),
        min_size=EPOCHS,
        max_size=EPOCHS,
    ),
)
def test_plateau_equals_torchs_rule_for_any_metric_nan_included(
    mode, factor, patience, min_lr, metrics
):
    optimizer = sgd(BASE)
    oracle = torch_lr.ReduceLROnPlateau(
        optimizer, mode, factor=factor, patience=patience, min_lr=min_lr
    )
    config = plateau(mode=mode, factor=factor, patience=patience, min_lr=min_lr)
    schedule = make(config)
    for metric in metrics:
        schedule.step(*((metric, 0.5) if mode == "max" else (0.5, metric)))
        oracle.step(metric)
        assert schedule.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("gain", [0.0, 0.9e-4])
def test_plateau_reduces_after_more_than_patience_epochs_without_a_real_gain(mode, gain):
    schedule = make(plateau(mode=mode, patience=2, factor=0.5), base_lr=1.0)
    actual = []
    for metric in [1.0] + 6 * [1.0 + gain if mode == "max" else 1.0 - gain]:
        schedule.step(metric, metric)
        actual.append(schedule.lr)
    assert actual == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_plateau_never_raises_a_rate_below_min_lr():
    schedule = make(plateau(patience=0, min_lr=0.5), base_lr=0.2)
    assert rates(schedule) == [0.2] * EPOCHS


def test_plateau_ignores_the_warm_up():
    config = plateau(patience=0, factor=0.5, warmup_epochs=3)
    schedule = make(config, base_lr=1.0)
    for _ in range(3):
        schedule.step(0.9, 0.1)
    assert schedule.lr == 1.0
    schedule.step(0.5, 1.0)
    assert schedule.lr == 1.0
    schedule.step(0.5, 1.0)
    assert schedule.lr == 0.5


@pytest.mark.parametrize("name", [n for n in ORACLES if n != "cosine"])
def test_after_the_warm_up_the_schedule_starts_from_its_beginning(name):
    config = ORACLES[name][0]
    warm = config.model_copy(update={"warmup_epochs": 4})
    actual = rates(make(warm, base_lr=1.0))
    assert actual[:4] == [0.2, 0.4, 0.6, 0.8]
    assert actual[4:] == rates(make(config, base_lr=1.0))[: EPOCHS - 4]


def test_cosine_ends_with_the_training_when_it_has_a_warm_up():
    schedule = make(CosineScheduler(warmup_epochs=5), base_lr=1.0, epochs=25)
    actual = rates(schedule, 25)
    assert actual[5] == 1.0
    assert actual[15] == pytest.approx(0.5)
    assert schedule.lr == pytest.approx(0, abs=1e-15)


def test_cosine_stays_at_eta_min_beyond_t_max():
    actual = rates(make(CosineScheduler(T_max=10, eta_min=0.02)))
    assert actual[10:] == [0.02] * 30
    assert actual == sorted(actual, reverse=True)


def test_the_rate_is_set_immediately_and_in_every_group():
    optimizer = sgd(groups=3)
    schedule = make(CosineScheduler(warmup_epochs=1), base_lr=1.0, optimizer=optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5] * 3
    schedule.step(0, 0)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0] * 3


def sections(section, name, **fields):
    return st.builds(section, name=st.just(name), warmup_epochs=st.integers(0, 5), **fields)


gammas = st.floats(0.1, 1.5)
milestones = st.lists(st.integers(1, EPOCHS), max_size=5).map(tuple)
modes = st.sampled_from(["max", "min"])
t_max = st.none() | st.integers(1, 60)
configs = st.one_of(
    sections(CosineScheduler, "cosine", T_max=t_max, eta_min=st.floats(0, 0.1)),
    sections(StepScheduler, "step", step_size=st.integers(1, 10), gamma=gammas),
    sections(MultiStepScheduler, "multistep", milestones=milestones, gamma=gammas),
    sections(ExponentialScheduler, "exponential", gamma=gammas),
    sections(
        PlateauScheduler,
        "plateau",
        mode=modes,
        patience=st.integers(0, 3),
        min_lr=st.floats(0, 0.5),
    ),
    sections(ConstantScheduler, "none"),
)


@given(config=configs, cut=st.integers(0, EPOCHS))
def test_a_resumed_schedule_equals_the_uninterrupted_one(config, cut):
    uninterrupted = rates(make(config))
    first = make(config)
    before = rates(first, cut)
    second = make(config)
    second.load_state_dict(first.state_dict())
    assert before + rates(second, start=cut) == uninterrupted


@pytest.mark.parametrize("cut", range(EPOCHS + 1))
def test_plateau_resumes_at_every_cut_from_a_file_of_plain_values(cut):
    config = plateau(patience=3, factor=0.5, warmup_epochs=2)
    first = make(config)
    before = rates(first, cut)
    state = saved_and_loaded(first.state_dict())
    assert {type(value) for value in state.values()} <= {int, float, str}
    optimizer = sgd()
    second = make(config, base_lr=9.0, optimizer=optimizer)
    second.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == first.lr
    assert before + rates(second, start=cut) == rates(make(config))


@given(config=configs, cut=st.integers(0, EPOCHS), base_lr=st.floats(0.2, 2.0))
def test_another_base_rate_continues_at_the_donors_position(config, cut, base_lr):
    donor = make(config)
    rates(donor, cut)
    optimizer = sgd()
    heir = make(config, base_lr=base_lr, optimizer=optimizer)
    heir.load_state_dict(donor.state_dict())
    heir.set_base_lr(base_lr)
    assert optimizer.param_groups[0]["lr"] == heir.lr
    if config.name != "plateau":
        own = make(config, base_lr=base_lr)
        rates(own, cut)
        assert heir.lr == own.lr
        assert rates(heir, start=cut) == rates(own, start=cut)


def test_another_base_rate_keeps_the_reductions_of_plateau():
    config = plateau(patience=0, factor=0.5, min_lr=0.1)
    schedule = make(config, base_lr=1.0)
    for _ in range(3):
        schedule.step(0.5, 1.0)
    assert schedule.lr == 0.25
    schedule.set_base_lr(2.0)
    assert schedule.lr == 0.5


def test_epochs_at_the_floor_of_plateau_do_not_reduce_a_larger_base_rate():
    config = plateau(patience=0, factor=0.5, min_lr=0.2)
    schedule = make(config, base_lr=1.0)
    for _ in range(30):
        schedule.step(0.5, 1.0)
    assert schedule.lr == 0.2
    schedule.set_base_lr(8.0)
    assert schedule.lr == 1.0


def test_the_shape_comes_from_the_config_and_the_position_from_the_state():
    donor = make(StepScheduler(name="step", step_size=10, gamma=0.5), base_lr=1.0)
    rates(donor, 12)
    heir = make(StepScheduler(name="step", step_size=4, gamma=0.1), base_lr=1.0)
    heir.load_state_dict(donor.state_dict())
    assert heir.lr == pytest.approx(0.001)


def test_plateau_resets_its_best_when_its_mode_changes():
    donor = make(plateau(mode="max", patience=0), base_lr=1.0)
    for _ in range(2):
        donor.step(0.5, 3.0)
    heir = make(plateau(mode="min", patience=0), base_lr=1.0)
    heir.load_state_dict(donor.state_dict())
    heir.step(0.5, 3.0)
    assert heir.lr == pytest.approx(0.1)
    heir.step(0.5, 3.0)
    assert heir.lr == pytest.approx(0.01)


def test_a_state_of_another_schedule_is_refused():
    foreign = torch_lr.StepLR(sgd(), 3).state_dict()
    for state, name in [(make(CosineScheduler()).state_dict(), "cosine"), (foreign, "no name")]:
        with pytest.raises(CheckpointError, match=rf"scheduler\.name: none, found {name}"):
            make(CONSTANT).load_state_dict(state)


def test_a_state_that_lacks_an_entry_is_refused_and_changes_nothing():
    schedule = make(plateau())
    rates(schedule, 3)
    before = schedule.state_dict()
    broken = make(plateau()).state_dict()
    del broken["best"]
    with pytest.raises(CheckpointError, match="found none named best"):
        schedule.load_state_dict(broken)
    assert schedule.state_dict() == before


@pytest.mark.parametrize(
    ("config", "before", "expected"),
    [
        (CosineScheduler(name="cosine"), 40, None),
        (CosineScheduler(name="cosine"), 20,
         "the cosine schedule spans 40 epochs instead of 20: the learning rate of epoch 21 is "
         "0.15, that of the last epoch 0.000462"),
        (CosineScheduler(name="cosine", T_max=20), 20,
         "the learning rate is eta_min (0) from epoch 21 on, because scheduler.T_max is 20; "
         "raise or remove scheduler.T_max to learn more"),
        (CosineScheduler(name="cosine", T_max=20, warmup_epochs=5, eta_min=0.01), 25,
         "the learning rate is eta_min (0.01) from epoch 26 on, because scheduler.T_max is 20"),
        (CosineScheduler(name="cosine", T_max=40), 20, None),
        (StepScheduler(name="step", step_size=3), 20, None),
        (plateau(), 20, None),
    ],
)  # fmt: skip
def test_what_more_epochs_do_to_the_schedule_is_described(config, before, expected):
    schedule = make(config)
    rates(schedule, epochs=20)
    assert schedule.describe_extension(before) == expected
    if expected is not None:
        further = [f"{rate:.3g}" for rate in rates(schedule, start=20)]
        last = f"{config.eta_min:.3g}" if config.T_max else "0.000462"
        assert further[-1] == last


# ---------------------------------------------------------------------------- by steps

BY_STEPS = [
    CosineScheduler(on="step", warmup_steps=7),
    OneCycleScheduler(name="one_cycle", on="step"),
    PolynomialScheduler(name="polynomial", on="step", warmup_epochs=2),
    LinearScheduler(name="linear", on="step", T_max=3),
    InverseSqrtScheduler(name="inverse_sqrt", on="step"),
    CosineRestartsScheduler(name="cosine_restarts", T_0=2, on="step"),
    ConstantScheduler(name="none", on="step", warmup_steps=12),
]


def rates_of_steps(schedule, optimizer, epochs, steps=5):
    actual = []
    for _ in epochs:
        planned = schedule.list_rates()
        for step in range(steps):
            schedule.start_step(step)
            actual.append([group["lr"] for group in optimizer.param_groups])
            assert actual[-1] == planned[step]
        schedule.step(0.0, 0.0)
    return actual


@pytest.mark.parametrize("config", BY_STEPS, ids=lambda config: config.name)
def test_a_schedule_by_steps_continues_to_the_last_bit_at_every_cut(config):
    def start():
        optimizer = sgd(groups=2)
        optimizer.param_groups[0]["lr_scale"] = 0.5
        return make(config, epochs=6, steps=5, optimizer=optimizer), optimizer

    whole = rates_of_steps(*start(), range(6))
    assert len({rate for rate, _ in whole}) > 5
    assert all(first == second / 2 for first, second in whole)
    for cut in range(6):
        first, optimizer = start()
        before = rates_of_steps(first, optimizer, range(cut))
        second, other = start()
        second.load_state_dict(saved_and_loaded(first.state_dict()))
        assert before + rates_of_steps(second, other, range(cut, 6)) == whole


def test_a_warm_up_counts_steps_or_epochs():
    by_steps = make(BY_STEPS[-1], epochs=6, steps=5)
    expected = [BASE * (step + 1) / 13 for step in range(12)] + [BASE] * 3
    optimizer = by_steps._optimizer
    assert [rate for (rate,) in rates_of_steps(by_steps, optimizer, range(3))] == expected
    by_epochs = make(ConstantScheduler(name="none", on="step", warmup_epochs=2), epochs=6, steps=5)
    assert by_epochs.list_rates()[4] == [BASE * 5 / 11]


def test_without_steps_the_rate_stays_within_an_epoch():
    schedule = make(CosineScheduler(), epochs=6, steps=5)
    assert not schedule.changes_in_epoch
    before = schedule.lr
    schedule.start_step(3)
    assert schedule.lr == before
    assert schedule.list_rates() == [[before]]
