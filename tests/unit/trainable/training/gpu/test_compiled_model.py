"""Compiled models: full batches only, one compilation per worker, fallback to the plain model."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from trainable.config import TrainConfig
from trainable.training.gpu import compiled_model
from trainable.training.gpu.compiled_model import MIN_BATCHES, CompiledModel, should_compile

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Counted:
    """A backend that counts compilations and runs the plain code."""

    def __init__(self) -> None:
        self.compiled = 0

    def __call__(self, module: Any, inputs: Any) -> Any:
        self.compiled += 1
        return module.forward


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 2, 2)


def test_the_model_is_compiled_for_full_batches_only() -> None:
    model, backend = small_model(), Counted()
    forward = CompiledModel(model, 4, backend)
    batch, odd = images(4), images(3)
    model.eval()
    for given in (batch, odd, batch):
        assert torch.equal(forward(given), model(given))
    assert backend.compiled == 1


def test_the_models_of_later_trials_are_not_compiled_again() -> None:
    backend = Counted()
    batch = images(4)
    for _ in range(3):
        model = small_model().eval()
        assert torch.equal(CompiledModel(model, 4, backend)(batch), model(batch))
    assert backend.compiled == 1


def test_more_forms_than_torchs_own_limit_are_compiled() -> None:
    backend, model = Counted(), small_model().eval()
    for size in range(2, 11):
        forward = CompiledModel(model, size, backend)
        forward(images(size))
        assert forward.failure is None
    assert backend.compiled == 9  # torch stops after 8


def test_the_plain_model_runs_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_model, "MAX_COMPILED_FORMS", 2)
    backend, model = Counted(), small_model().eval()
    forwards = [CompiledModel(model, size, backend) for size in (2, 3, 4)]
    for size, forward in enumerate(forwards, start=2):
        batch = images(size)
        assert torch.equal(forward(batch), model(batch))
    assert [forward.failure for forward in forwards[:2]] == [None, None]
    assert forwards[2].failure == "this process has compiled 2 forms of the model already"


def test_the_plain_model_runs_if_the_compiler_fails() -> None:
    def broken(module: Any, inputs: Any) -> Any:
        raise OSError("no C++ compiler here")

    model = small_model().eval()
    forward, batch = CompiledModel(model, 4, broken), images(4)
    assert torch.equal(forward(batch), model(batch))
    assert forward.failure is not None
    assert "no C++ compiler here" in forward.failure


def test_an_error_of_the_model_itself_is_raised() -> None:
    class Refuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(12, 3)

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.last(batch.flatten(1)[:, :5])

    with pytest.raises(RuntimeError, match="shape"):
        CompiledModel(Refuses(), 4, "eager")(images(4))


@pytest.mark.parametrize(
    ("setting", "device", "batches", "wanted"),
    [
        ("auto", GPU, MIN_BATCHES, True),
        ("auto", GPU, MIN_BATCHES - 1, False),
        ("auto", CPU, MIN_BATCHES, False),
        (True, CPU, 1, True),
        (False, GPU, MIN_BATCHES, False),
    ],
)
def test_auto_compiles_long_trainings_on_a_gpu(
    tiny_config: Callable[..., TrainConfig],
    setting: Any,
    device: torch.device,
    batches: int,
    wanted: bool,
) -> None:
    config = tiny_config(model={"name": "resnet20"}, training={"compile": setting})
    assert should_compile(config, device, batches) is wanted


def test_auto_compiles_neither_custom_models_nor_steps_that_are_not_recorded(
    tiny_config: Callable[..., TrainConfig],
) -> None:
    own = tiny_config(model={"name": "tiny_models:mlp"}, training={"compile": "auto"})
    plain = tiny_config(
        model={"name": "resnet20"}, training={"compile": "auto", "cuda_graph": False}
    )
    assert not should_compile(own, GPU, MIN_BATCHES)
    assert not should_compile(plain, GPU, MIN_BATCHES)
