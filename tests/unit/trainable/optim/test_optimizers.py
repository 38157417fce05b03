"""Optimizers step as torch documents, and load saved states."""

import copy
import io

import pytest
import torch
from torch import nn

from trainable.config import AdamOptimizer, AdamWOptimizer, SGDOptimizer
from trainable.config.sections.optimizer import OtherOptimizer
from trainable.errors import CheckpointError
from trainable.optim.optimizers import (
    DeviceLearningRates,
    apply_hyperparameters,
    build_optimizer,
    takes_tensor_rates,
)

CPU = torch.device("cpu")
CONFIGS = {
    "sgd": SGDOptimizer(name="sgd", learning_rate=0.1, weight_decay=0.01),
    "nesterov": SGDOptimizer(name="sgd", learning_rate=0.1, momentum=0.8, nesterov=True),
    "no_momentum": SGDOptimizer(name="sgd", learning_rate=0.1, momentum=0.0),
    "adam": AdamOptimizer(name="adam", learning_rate=0.01, weight_decay=0.1, betas=(0.8, 0.9)),
    "adamw": AdamWOptimizer(name="adamw", learning_rate=0.01, eps=1e-4),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def reference(config, parameters):
    """Builds torch's plain implementation with explicit arguments."""
    if config.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
            foreach=False,
        )
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name](
        parameters,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        foreach=False,
    )


def small_model(memory_format=torch.channels_last, dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(72, 4))
    return model.to(dtype=dtype, memory_format=memory_format)


def train(model, optimizer, steps, start=0):
    dtype = next(model.parameters()).dtype
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(6, 3, 5, 5, generator=generator, dtype=torch.float64).to(dtype)
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@every_config
def test_steps_equal_torchs_plain_implementation(config):
    ours, theirs = small_model(dtype=torch.float64), small_model(dtype=torch.float64)
    train(ours, build_optimizer(config, ours.parameters(), CPU), 8)
    train(theirs, reference(config, theirs.parameters()), 8)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-9, atol=1e-12)


@every_config
def test_the_same_training_twice_gives_the_same_bits_at_any_number_of_threads(config):
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 1, 3):
            torch.set_num_threads(count)
            generator = torch.Generator().manual_seed(0)
            sizes = (7, 2305, 100_003)
            parameters = [nn.Parameter(torch.randn(n, generator=generator)) for n in sizes]
            optimizer = build_optimizer(config, parameters, CPU)
            for _ in range(3):
                for parameter in parameters:
                    parameter.grad = torch.randn(parameter.shape, generator=generator)
                optimizer.step()
            results.append(torch.cat(parameters).detach())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@every_config
@pytest.mark.parametrize("cut", [0, 1, 4])
def test_a_saved_and_loaded_state_continues_bit_equally(config, cut):
    whole = small_model()
    train(whole, build_optimizer(config, whole.parameters(), CPU), 6)

    first = small_model()
    optimizer = build_optimizer(config, first.parameters(), CPU)
    train(first, optimizer, cut)
    state = saved_and_loaded({"model": first.state_dict(), "optimizer": optimizer.state_dict()})

    second = small_model()
    second.load_state_dict(state["model"])
    optimizer = build_optimizer(config, second.parameters(), CPU)
    optimizer.load_state_dict(state["optimizer"])
    train(second, optimizer, 6 - cut, start=cut)
    assert torch.equal(weights(whole), weights(second))


@every_config
def test_a_state_in_another_memory_format_is_applied_to_the_right_elements(config):
    donor = small_model(torch.contiguous_format)
    optimizer = build_optimizer(config, donor.parameters(), CPU)
    train(donor, optimizer, 3)

    heir = small_model(torch.channels_last)
    heir.load_state_dict(donor.state_dict())
    loaded = build_optimizer(config, heir.parameters(), CPU)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(donor, optimizer, 3, start=3)
    train(heir, loaded, 3, start=3)
    torch.testing.assert_close(weights(heir), weights(donor), rtol=1e-4, atol=1e-5)


def test_a_state_saved_by_another_implementation_keeps_this_machines_own():
    model = small_model()
    config = CONFIGS["adam"]
    foreign = torch.optim.Adam(model.parameters(), foreach=True, fused=False, capturable=True)
    state = foreign.state_dict()
    optimizer = build_optimizer(config, model.parameters(), CPU)
    expected = {k: optimizer.param_groups[0][k] for k in ("foreach", "fused", "capturable")}
    optimizer.load_state_dict(state)
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in expected} == expected
    assert state["param_groups"][0]["foreach"] is True


def test_own_hyperparameters_replace_a_donors_but_not_the_learning_rate():
    pairs = [
        (CONFIGS["sgd"], CONFIGS["nesterov"]),
        (
            CONFIGS["adam"],
            AdamOptimizer(name="adam", learning_rate=1.0, weight_decay=0.3, eps=1e-3),
        ),
        (
            CONFIGS["adamw"],
            AdamWOptimizer(name="adamw", learning_rate=1.0, betas=(0.5, 0.6), weight_decay=0.3),
        ),
    ]
    for donor, own in pairs:
        model = small_model()
        given = build_optimizer(donor, model.parameters(), CPU)
        train(model, given, 2)
        optimizer = build_optimizer(own, model.parameters(), CPU)
        optimizer.load_state_dict(given.state_dict())
        apply_hyperparameters(optimizer, own)
        (group,) = optimizer.param_groups
        fresh = build_optimizer(own, model.parameters(), CPU).param_groups[0]
        assert {**group, "lr": None} == {**fresh, "lr": None}
        assert group["lr"] == donor.learning_rate
        train(model, optimizer, 1)


def test_applying_the_hyperparameters_of_another_optimizer_is_refused():
    optimizer = build_optimizer(CONFIGS["adamw"], small_model().parameters(), CPU)
    with pytest.raises(CheckpointError, match=r"optimizer\.name: adam, found adamw"):
        apply_hyperparameters(optimizer, CONFIGS["adam"])


@pytest.mark.parametrize("own", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("saved", ["sgd", "adam", "adamw"])
def test_only_a_state_of_the_same_optimizer_can_be_loaded(own, saved):
    model = small_model()
    given = build_optimizer(CONFIGS[saved], model.parameters(), CPU)
    train(model, given, 1)
    optimizer = build_optimizer(CONFIGS[own], model.parameters(), CPU)
    if own == saved:
        optimizer.load_state_dict(given.state_dict())
        return
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=rf"optimizer\.name: {own}, found {saved};"):
        optimizer.load_state_dict(given.state_dict())
    torch.testing.assert_close(optimizer.state_dict(), before, rtol=0, atol=0)


def test_a_state_without_the_mark_of_newer_torch_releases_loads_as_either_adam():
    model = small_model()
    for name in ("adam", "adamw"):
        optimizer = build_optimizer(CONFIGS[name], model.parameters(), CPU)
        state = copy.deepcopy(optimizer.state_dict())
        state["param_groups"][0].pop("decoupled_weight_decay", None)
        optimizer.load_state_dict(state)


def test_a_state_of_other_parameters_says_what_was_expected_and_found():
    model, other = small_model(), nn.Linear(4, 4)
    optimizer = build_optimizer(CONFIGS["sgd"], model.parameters(), CPU)
    given = build_optimizer(CONFIGS["sgd"], other.parameters(), CPU)
    with pytest.raises(CheckpointError, match="of 6 parameters, found 2"):
        optimizer.load_state_dict(given.state_dict())

    wider = nn.Linear(8, 4)
    given = build_optimizer(CONFIGS["sgd"], wider.parameters(), CPU)
    wider(torch.ones(2, 8)).sum().backward()
    given.step()
    optimizer = build_optimizer(CONFIGS["sgd"], other.parameters(), CPU)
    with pytest.raises(CheckpointError, match=r"momentum_buffer .* \[4, 4\], found \[4, 8\]"):
        optimizer.load_state_dict(given.state_dict())


@pytest.mark.gpu
@every_config
def test_a_cpu_state_continues_on_cuda_with_the_fused_kernels(config):
    cpu = small_model()
    optimizer = build_optimizer(config, cpu.parameters(), CPU)
    train(cpu, optimizer, 3)

    cuda = small_model()
    cuda.load_state_dict(cpu.state_dict())
    cuda = cuda.cuda()
    moved = build_optimizer(config, cuda.parameters(), torch.device("cuda"))
    moved.load_state_dict(optimizer.state_dict())
    assert moved.param_groups[0]["fused"] is True
    for ours, theirs in zip(cpu.parameters(), cuda.parameters(), strict=True):
        ours.grad = torch.ones_like(ours)
        theirs.grad = torch.ones_like(theirs)
    optimizer.step()
    moved.step()
    torch.testing.assert_close(weights(cuda).cpu(), weights(cpu), rtol=1e-4, atol=1e-6)


def test_learning_rates_of_all_groups_are_taken_from_a_plan_without_new_tensors():
    model = small_model()
    config = AdamWOptimizer(name="adamw", learning_rate=0.1, layer_decay=0.5)
    optimizer = build_optimizer(config, model, CPU)
    count = len(optimizer.param_groups)
    rates = DeviceLearningRates(optimizer, CPU)
    with rates.applied():
        tensors = [group["lr"] for group in optimizer.param_groups]
    rates.plan([[0.1 * step + place for place in range(count)] for step in range(3)])
    for step in (0, 2, 7):
        rates.take(step)
        expected = [0.1 * min(step, 2) + place for place in range(count)]
        assert [float(tensor) for tensor in tensors] == pytest.approx(expected)
    rates.refresh()
    assert [float(tensor) for tensor in tensors] == pytest.approx(
        [group["lr"] for group in optimizer.param_groups]
    )


def test_only_steps_of_the_three_read_rates_from_the_device():
    other = OtherOptimizer(name="nadam", learning_rate=0.1)
    assert takes_tensor_rates(build_optimizer(CONFIGS["adam"], small_model(), CPU))
    assert not takes_tensor_rates(build_optimizer(other, small_model(), CPU))
