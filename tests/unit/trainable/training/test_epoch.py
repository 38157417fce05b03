"""The epoch loop against loops written by hand."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainable.training.epoch import Score, drain, evaluate, train_epoch
from trainable.training.step import EvaluationStep, TrainStep

Batches = list[tuple[Tensor, Tensor]]


def make_batches(*sizes: int) -> Batches:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(size, 1, 4, 4, generator=generator),
            torch.randint(3, (size,), generator=generator),
        )
        for size in sizes
    ]


def make_model(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), *layers, nn.ReLU(), nn.Linear(8, 3))


def train(
    model: nn.Module,
    batches: Batches,
    *,
    accumulation_steps: int = 1,
    on_batch: Callable[[int], None] | None = None,
) -> Score:
    step = TrainStep(
        model,
        nn.CrossEntropyLoss(),
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        accumulation_steps=accumulation_steps,
    )
    return drain(train_epoch(step, batches), on_batch)


def score_of(model: nn.Module, batches: Batches, amp_dtype: torch.dtype | None = None) -> Score:
    return drain(evaluate(EvaluationStep(model, nn.CrossEntropyLoss(), amp_dtype), batches))


def test_an_epoch_equals_a_loop_written_by_hand() -> None:
    batches = make_batches(8, 8, 3)
    model = make_model(nn.BatchNorm1d(8))
    by_hand = copy.deepcopy(model)
    score = train(model, batches)

    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    by_hand.train()
    losses, correct = 0.0, 0
    for images, labels in batches:
        optimizer.zero_grad()
        logits = by_hand(images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        losses += loss.item() * len(labels)
        correct += int((logits.argmax(1) == labels).sum())
    for name, value in by_hand.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert score.loss == pytest.approx(losses / 19, rel=1e-12)
    assert score.acc == correct / 19


@pytest.mark.parametrize("steps", [2, 4, 5, 8])
def test_parts_of_a_batch_add_up_to_the_batch(steps: int) -> None:
    batches = make_batches(8, 8, 3)
    whole, parts = make_model(), make_model()
    expected = train(whole, batches)
    actual = train(parts, batches, accumulation_steps=steps)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, msg=name)
    assert actual.loss == pytest.approx(expected.loss, rel=1e-5)
    assert actual.acc == expected.acc


def test_no_part_is_a_single_image() -> None:
    sizes = []
    model = make_model(nn.BatchNorm1d(8))
    model.register_forward_hook(lambda module, images, logits: sizes.append(len(logits)))
    train(model, make_batches(8, 5, 3, 2), accumulation_steps=4)
    assert sizes == [2, 2, 2, 2, 3, 2, 3, 2]


def test_a_batch_of_one_image_runs_if_it_is_the_only_one() -> None:
    assert train(make_model(), make_batches(1, 1), accumulation_steps=1).loss > 0


def test_training_switches_dropout_on_and_evaluation_off() -> None:
    modes = []
    model = make_model(nn.Dropout(0.5))
    model.register_forward_hook(lambda module, images, logits: modes.append(module.training))
    train(model, make_batches(4))
    score_of(model, make_batches(4))
    train(model, make_batches(4))
    assert modes == [True, False, True]


def test_images_are_counted_after_every_batch() -> None:
    counts: list[int] = []
    train(make_model(), make_batches(8, 8, 3), accumulation_steps=2, on_batch=counts.append)
    assert counts == [8, 8, 3]


def test_evaluation_leaves_the_model_unchanged() -> None:
    model = make_model(nn.BatchNorm1d(8), nn.Dropout(0.5))
    train(model, make_batches(8))
    before = copy.deepcopy(model.state_dict())
    gradients = [parameter.grad for parameter in model.parameters()]
    stream = torch.get_rng_state()
    score_of(model, make_batches(8, 3))
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value), name
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), stream)


def test_a_score_over_uneven_batches_is_the_mean_over_images() -> None:
    model = make_model()
    batches = make_batches(8, 8, 3, 1)
    score = score_of(model, batches)
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with torch.no_grad():
        logits = model(images)
    assert score.loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-6)
    assert score.acc == (logits.argmax(1) == labels).sum().item() / 20


def test_a_model_can_be_trained_after_it_was_evaluated() -> None:
    model = make_model(nn.BatchNorm1d(8))
    batches = make_batches(8)
    score_of(model, batches)
    before = copy.deepcopy(model.state_dict())
    train(model, batches)
    assert not torch.equal(model.state_dict()["1.weight"], before["1.weight"])


def test_the_forward_pass_runs_inside_autocast() -> None:
    kinds = []
    model = make_model()
    model.register_forward_hook(lambda module, images, logits: kinds.append(logits.dtype))

    score_of(model, make_batches(4), torch.bfloat16)
    assert kinds == [torch.bfloat16]


def test_an_empty_pass_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        score_of(make_model(), [])
