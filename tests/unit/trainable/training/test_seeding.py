"""Random numbers of trainings that alternate in one process."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainable.augment.streams import stream_seed
from trainable.config import TrainConfig
from trainable.models import get_model
from trainable.training.seeding import (
    CudaRngState,
    RngState,
    draws_globally,
    seed_everything,
    set_determinism,
)
from trainable.training.trainer import Trainer

Config = Callable[..., TrainConfig]

SHALLOW = ["cnv", "mobilenetv1", "resnet18", "resnet20", "resnet50", "vgg11"]
"""The smallest model of every kind of block; the others only repeat blocks."""


@pytest.fixture(autouse=True)
def _same_generators_afterwards() -> Iterator[None]:
    generator, is_deterministic = (
        np.random.get_bit_generator(),
        torch.are_deterministic_algorithms_enabled(),
    )
    yield
    np.random.set_bit_generator(generator)
    set_determinism(is_deterministic)


def drawing(seed: int) -> Iterator[tuple[float, ...]]:
    """Draws an odd number of normal numbers from NumPy, which generates them in pairs."""
    seed_everything(seed)
    while True:
        torch_numbers = (torch.rand(()).item(), torch.randn(()).item())
        yield (
            random.random(),
            random.gauss(0, 1),
            np.random.randn(),
            np.random.rand(),
            *torch_numbers,
        )


def global_states() -> tuple[Any, ...]:
    arrays = np.random.get_state(legacy=False)
    return (
        random.getstate(),
        arrays["state"]["key"].tolist(),
        arrays["state"]["pos"],
        arrays["has_gauss"],
        torch.get_rng_state().tolist(),
    )


def test_alternating_trainings_draw_the_same_numbers_as_single_ones() -> None:
    steps = 5
    alone = {}
    for seed in (1, 2, 3):
        work = drawing(seed)
        alone[seed] = [next(work) for _ in range(steps)]
    works = {seed: (drawing(seed), RngState(draws=True)) for seed in alone}
    in_turns: dict[int, list[tuple[float, ...]]] = {seed: [] for seed in alone}
    for _ in range(steps):
        for seed, (work, rng) in works.items():
            with rng:
                in_turns[seed].append(next(work))
            seed_everything(99)  # another training is built
            np.random.randn()
    assert in_turns == alone


def test_work_does_not_change_the_random_state_of_the_process() -> None:
    rng = RngState(draws=True)
    generator = np.random.get_bit_generator()
    with rng:
        np.random.seed(5)
    assert np.random.get_bit_generator() is generator
    np.random.seed(6)
    expected = np.random.rand()
    np.random.seed(6)
    with rng:
        np.random.rand()
    assert np.random.rand() == expected


def test_generators_are_not_touched_if_nothing_draws() -> None:
    rng = RngState(draws=False)
    seed_everything(1)
    with rng:
        pass
    seed_everything(2)
    before = global_states()
    with rng:
        assert global_states() == before
    assert global_states() == before


@pytest.mark.parametrize("draws", [True, False])
def test_the_deterministic_switch_belongs_to_each_training(draws: bool) -> None:
    works = {enabled: RngState(draws=draws) for enabled in (True, False)}
    for enabled, rng in works.items():
        with rng:
            set_determinism(enabled)
    for enabled, rng in [*works.items(), *works.items()]:
        with rng:
            assert torch.are_deterministic_algorithms_enabled() == enabled
            assert torch.backends.cudnn.benchmark != enabled


class Generator:
    """Fake of a CUDA generator, whose state object can be swapped."""

    def __init__(self, state: list[int] | None = None) -> None:
        self.state = [0] if state is None else state

    def clone_state(self) -> "Generator":
        return Generator(list(self.state))

    def graphsafe_get_state(self) -> "Generator":
        return Generator(self.state)

    def graphsafe_set_state(self, other: "Generator") -> "Generator":
        self.state = other.state
        return self

    def manual_seed(self, seed: int) -> None:
        self.state[0] = seed

    def draw(self) -> int:
        self.state[0] += 1
        return self.state[0]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Generator:
    """The default generator of the only GPU of a process in which CUDA is initialized."""
    generator = Generator()
    monkeypatch.setattr(torch.cuda, "default_generators", (generator,))
    return generator


def test_a_training_keeps_one_cuda_state_for_its_whole_life(gpu: Generator) -> None:
    rngs = [CudaRngState(), CudaRngState()]
    process_state = gpu.state
    numbers: list[list[int]] = [[], []]
    objects: list[set[int]] = [set(), set()]
    for epoch in (100, 200):
        for step in range(3):
            for training, rng in enumerate(rngs):
                with rng:
                    if step == 0:
                        gpu.manual_seed(epoch * (training + 1))
                    numbers[training].append(gpu.draw())
                    objects[training].add(id(gpu.state))
                assert gpu.state is process_state
                gpu.manual_seed(7)  # another training is built
    assert numbers == [[101, 102, 103, 201, 202, 203], [201, 202, 203, 401, 402, 403]]
    assert [len(ids) for ids in objects] == [1, 1]
    assert objects[0] != objects[1]
    assert id(process_state) not in objects[0] | objects[1]


def test_a_training_that_initializes_cuda_keeps_the_state_that_it_has_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator, rng = Generator(), CudaRngState()
    used = generator.state
    with rng:
        monkeypatch.setattr(torch.cuda, "default_generators", (generator,))
        generator.manual_seed(10)
    assert generator.state is not used
    generator.manual_seed(99)
    with rng:
        assert generator.state is used
        assert generator.draw() == 11


def test_a_failure_leaves_the_state_of_the_process_in_place(gpu: Generator) -> None:
    process_state = gpu.state
    with pytest.raises(RuntimeError, match="no such luck"), RngState(draws=True):
        raise RuntimeError("no such luck")
    assert gpu.state is process_state


def test_the_cuda_generator_is_not_swapped_if_nothing_draws(gpu: Generator) -> None:
    process_state = gpu.state
    with RngState(draws=False):
        assert gpu.state is process_state


def test_cuda_is_not_initialized_for_a_training_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def initialized() -> None:
        raise AssertionError("CUDA is initialized")

    monkeypatch.setattr(torch.cuda, "_lazy_init", initialized)
    monkeypatch.setattr(torch.cuda.random, "_lazy_init", initialized)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda.random, "device_count", lambda: 1)
    rng = RngState(draws=True)
    for _ in range(2):
        with rng:
            torch.rand(())


class Draws(TorchDispatchMode):
    """Records the operations that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def draws_of_a_step(config: TrainConfig) -> list[str]:
    """Returns the operations that draw random numbers in a training step, run without data."""
    with torch.device("meta"):
        model = get_model(config, allow_custom=True)
        images = torch.empty(4, 1, 64, 64)
    before = random.getstate(), np.random.get_state()[1].tolist()
    with Draws() as draws:
        model.train()(images).sum().backward()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    return draws.names


@pytest.mark.parametrize("name", SHALLOW)
def test_built_in_models_draw_nothing_in_a_step(tiny_config: Config, name: str) -> None:
    config = tiny_config(model={"name": name})
    assert not draws_globally(config)
    assert draws_of_a_step(config) == []


def test_a_custom_model_may_draw(tiny_config: Config) -> None:
    config = tiny_config(model={"name": "torch.nn:Dropout"})
    assert draws_globally(config)
    with torch.device("meta"), Draws() as draws:
        torch.nn.Dropout(0.5)(torch.empty(4))
    assert draws.names


def test_an_epoch_of_a_built_in_model_moves_no_global_generator(tiny_config: Config) -> None:
    config = tiny_config(model={"name": "resnet20"}, dataset={"val_split": 0.9}, seed={"value": 3})
    trainer = Trainer(config, device=torch.device("cpu"))
    trainer.run_epoch()
    after = global_states()
    seed_everything(stream_seed(3, 1))
    assert global_states() == after


def test_products_do_not_depend_on_where_matrices_lie_in_memory() -> None:
    """MKL's default order of sums does, on some CPUs; `trainable` asks for another one."""
    generator = torch.Generator().manual_seed(0)
    images, weights = (torch.randn(size, 33, generator=generator) for size in (7, 10))

    def at(offset: int, values: torch.Tensor) -> torch.Tensor:
        room = torch.empty(values.numel() + 16)
        return room[offset : offset + values.numel()].view_as(values).copy_(values)

    products = [torch.nn.functional.linear(at(i, images), at(j, weights))
                for i in range(16) for j in range(16)]  # fmt: skip
    assert all(torch.equal(product, products[0]) for product in products)
