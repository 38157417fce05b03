"""Every checkpoint that is written can be read with `weights_only=True`; others are refused."""

import collections
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import unsaveable_models
from trainable.artifacts.saveable_state import PLAIN_TYPES, find_unsaveable
from trainable.config import TrainConfig
from trainable.errors import ConfigError, ModelError
from trainable.experiment.fit import Outcome
from trainable.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("working_directory")

Point = collections.namedtuple("Point", "x")

SAVEABLE: list[Any] = [
    True,
    10**30,
    0.5,
    1j,
    "text",
    b"bytes",
    None,
    torch.Size([1]),
    torch.float32,
    torch.device("cpu"),
    {1: "a"},
    collections.OrderedDict(a=1),
    [1, (2,), {3}],
    torch.ones(2, dtype=torch.bfloat16),
    nn.Parameter(torch.ones(1)),
    torch.eye(2).to_sparse(),
]

UNSAVEABLE: list[tuple[Any, str]] = [
    (np.float64(1.5), "numpy.float64"),
    (np.zeros(2), "numpy.ndarray"),
    (frozenset([1]), "frozenset"),
    (collections.defaultdict(int), "collections.defaultdict"),
    (Point(1), "test_saveable_state.Point"),
    (range(3), "range"),
    (Path("x"), "PosixPath"),
    (int, "type"),
    (torch.Generator(), "torch._C.Generator"),
    (torch.ones(1).as_subclass(unsaveable_models.Marked), "unsaveable_models.Marked"),
]


def load(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_what_is_accepted_can_be_read() -> None:
    assert {type(value) for value in SAVEABLE} >= PLAIN_TYPES
    for value in SAVEABLE:
        assert find_unsaveable({"body._extra_state": value}, has_run=True) is None
        assert isinstance(load(value), torch.Tensor if torch.is_tensor(value) else type(value))


@pytest.mark.parametrize(("value", "kind"), UNSAVEABLE, ids=[kind for _, kind in UNSAVEABLE])
def test_what_is_refused_is_named_with_its_key_and_type(value: Any, kind: str) -> None:
    text = find_unsaveable({"weight": torch.ones(1), "state": {"a": [0, value]}}, has_run=True)
    assert text is not None
    assert text.startswith("state['a'][1] of its state_dict() is a ")
    assert f"{kind}, which torch.load refuses; re" in text


def test_a_lazy_parameter_is_refused_once_the_model_has_run() -> None:
    state = nn.LazyLinear(3).state_dict()
    assert find_unsaveable(state, has_run=False) is None
    assert find_unsaveable(state, has_run=True) == (
        "weight of its state_dict() is a parameter of a lazy module that was never run; "
        "remove the module"
    )


def test_every_allowed_state_is_saved_while_training_goes_on_and_restored(
    tiny_config: Callable[..., TrainConfig], run_fit: Callable[..., Outcome]
) -> None:
    config = tiny_config(
        model={"name": "unsaveable_models:plain"},
        training={"epochs": 2},
        checkpoint={"enabled": True, "save_frequency": 1},
    )
    outcome = run_fit(config)
    state = torch.load(outcome.latest, weights_only=True)
    restored = Trainer(config, device=torch.device("cpu"), allow_custom_model=True)
    restored.load_state_dict(state)
    expected = unsaveable_models.plain(10, 1).state_dict()["_extra_state"]
    extra = restored.model.state_dict()["_extra_state"]
    assert str(extra) == str(expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "numpy",
            "_extra_state['step'] of its state_dict() is a numpy.float64, which torch.load "
            "refuses; return a tensor, or a Python number, str, dict or list",
        ),
        (
            "subclass",
            "scale of its state_dict() is a tests.support.unsaveable_models.Marked, which "
            "torch.load refuses; register a plain tensor: tensor.as_subclass(torch.Tensor)",
        ),
    ],
)
def test_a_state_that_cannot_be_saved_is_refused_before_anything_is_created(
    name: str,
    message: str,
    tiny_config: Callable[..., TrainConfig],
    run_fit: Callable[..., Outcome],
    working_directory: Path,
) -> None:
    model = {"name": f"tests.support.unsaveable_models:{name}"}
    with pytest.raises(ConfigError) as caught:
        run_fit(tiny_config(model=model, checkpoint={"enabled": True}))
    (problem,) = caught.value.problems
    assert (problem.key, problem.rule) == (
        "model.name",
        f'"{model["name"]}" cannot be saved: {message}',
    )
    assert not any(working_directory.iterdir())
    assert run_fit(tiny_config(model=model, training={"epochs": 1})).finished


def test_a_state_that_changes_its_type_is_refused_at_the_first_save(
    tiny_config: Callable[..., TrainConfig],
    run_fit: Callable[..., Outcome],
    working_directory: Path,
) -> None:
    model = {"name": "unsaveable_models:numpy_later"}
    with pytest.raises(ModelError, match=r"cannot be saved: _extra_state of .* a numpy.int64"):
        run_fit(tiny_config(model=model, checkpoint={"enabled": True}))
    assert not list(working_directory.rglob("*.pt"))
