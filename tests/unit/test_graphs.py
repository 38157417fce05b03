"""Recorded passes: with a stand-in for the recording they compute what the plain loop computes."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from trainable import measure
from trainable.epoch import drain, evaluate, train_epoch
from trainable.graphs import RecordedPass, Recordings
from trainable.trainer import Trainer

MakeTrainer = Callable[..., Trainer]


def stand_in(model: nn.Module) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Does as a CUDA graph does: a replay writes gradients where the recording has put them."""

    def record(work: Callable[[], None]) -> Callable[[], None]:
        work()
        places = [parameter.grad for parameter in model.parameters()]

        def replay() -> None:
            for parameter in model.parameters():
                parameter.grad = None
            work()
            for parameter, place in zip(model.parameters(), places, strict=True):
                if place is not None:
                    place.copy_(parameter.grad)
                parameter.grad = place

        return replay

    return record


def refuse(work: Callable[[], None]) -> Callable[[], None]:
    raise RuntimeError("operation not permitted when stream is capturing\nsome more")


@pytest.mark.parametrize("model", ["tiny_models:dropout_cnn", "resnet20"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_recorded_training_is_the_plain_one(
    tiny_trainer: MakeTrainer,
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
    model: str,
    optimizer: str,
) -> None:
    # 100 does not divide the images: the last batch of every pass has another form.
    sections = {
        "model": {"name": model},
        "optimizer": {"name": optimizer, "learning_rate": 0.01},
        "training": {"epochs": 3, "batch_size": 100},
    }
    plain, recorded = tiny_trainer(**sections), tiny_trainer(**sections)
    recorded.recorded = Recordings(recorded.model, stand_in(recorded.model))
    rows = [
        [without_times(trainer.run_epoch()) for _ in range(2)] for trainer in (plain, recorded)
    ]
    assert rows[0] == rows[1]
    assert recorded.recorded.failure is None
    assert_same(recorded.state_dict(), plain.state_dict())


def test_where_nothing_can_be_recorded_nothing_is_lost(
    tiny_trainer: MakeTrainer, assert_same: Callable[[Any, Any], None]
) -> None:
    sections = {"model": {"name": "tiny_models:dropout_cnn"}}
    plain, refused = tiny_trainer(**sections), tiny_trainer(**sections)
    refused.recorded = Recordings(refused.model, refuse)
    for trainer in (plain, refused):
        trainer.run_epoch()
    assert refused.recorded.failure == "operation not permitted when stream is capturing"
    assert_same(refused.state_dict(), plain.state_dict())


def test_what_fails_in_the_evaluation_ends_the_recording_of_both(
    tiny_trainer: MakeTrainer, assert_same: Callable[[Any, Any], None]
) -> None:
    plain, half = tiny_trainer(), tiny_trainer()
    recorded = Recordings(half.model, stand_in(half.model))
    assert recorded.training is not None
    recorded._evaluation._record = refuse
    half.recorded = recorded
    for trainer in (plain, half):
        trainer.run_epoch()
    assert (recorded.training, recorded.evaluation) == (None, None)
    for trainer in (plain, half):
        trainer.run_epoch()
    assert_same(half.state_dict(), plain.state_dict())


def test_a_batch_of_another_form_is_left_to_the_plain_loop() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    recorded = RecordedPass(model, stand_in(model))
    seen: list[int] = []

    def work(images: torch.Tensor, labels: torch.Tensor) -> None:
        seen.append(len(labels))
        model(images).sum().backward()

    whole, part = torch.ones(4, 1, 2, 2), torch.ones(3, 1, 2, 2)
    assert recorded.run(work, whole, torch.zeros(4))
    assert not recorded.run(work, part, torch.zeros(3))
    assert recorded.run(work, whole, torch.zeros(4))
    assert set(seen) == {4}


def test_a_replay_reads_the_batch_that_it_is_given() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    recorded = RecordedPass(model, stand_in(model))
    batches = [(torch.randn(5, 1, 2, 2), torch.randint(3, (5,))) for _ in range(3)]
    loss_fn = nn.CrossEntropyLoss()
    plain = drain(evaluate(model, batches, loss_fn, autocast=nullcontext))
    for _ in range(2):  # the sums begin at zero again
        again = drain(evaluate(model, batches, loss_fn, autocast=nullcontext, recorded=recorded))
        assert again == plain


def test_what_is_measured_is_what_trains(tiny_trainer: MakeTrainer) -> None:
    trainer, replays = tiny_trainer(training={"epochs": 1, "batch_size": 10}), []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        replay = stand_in(trainer.model)(work)
        return lambda: replays.append(trainer.model.training) or replay()

    trainer.recorded = Recordings(trainer.model, record)
    assert measure._epoch_s(trainer) > 0
    assert replays.count(True) == measure.WARM_UP + measure.TIMED
    assert replays.count(False) >= measure.WARM_UP + measure.TIMED


@pytest.mark.gpu
def test_on_a_card_a_graph_computes_what_the_plain_loop_does() -> None:
    torch.manual_seed(0)
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        models.append(nn.Sequential(net, nn.Linear(8 * 36, 3)).cuda())
    batches = [
        (torch.randn(16, 1, 8, 8, device="cuda"), torch.randint(3, (16,), device="cuda"))
        for _ in range(6)
    ]
    scores = []
    for model, recorded in zip(models, (None, RecordedPass(models[1])), strict=True):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
        steps = train_epoch(
            model,
            batches,
            nn.CrossEntropyLoss(),
            optimizer,
            scaler=torch.amp.GradScaler("cuda"),
            autocast=lambda: torch.autocast("cuda", torch.float16),
            recorded=recorded,
        )
        scores.append(drain(steps))
        assert recorded is None or recorded.failure is None
    assert scores[0].loss == pytest.approx(scores[1].loss, rel=1e-3)


@pytest.mark.gpu
def test_after_a_recording_that_fails_the_stream_is_that_of_before() -> None:
    model = nn.Linear(4, 2).cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        recorded = RecordedPass(model)
        images, labels = torch.ones(3, 4, device="cuda"), torch.zeros(3, device="cuda")
        assert not recorded.run(lambda x, _: model(x).sum().item(), images, labels)
        assert torch.cuda.current_stream() == stream
        assert recorded.failure is not None
        model(images).sum().backward()
    torch.cuda.synchronize()


@pytest.mark.gpu
def test_graphs_of_two_streams_outlive_each_other() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).cuda()
    images, labels = torch.randn(128, 256, device="cuda"), torch.zeros(128, device="cuda")
    model(images).square().mean().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]

    def work(images: torch.Tensor, _: torch.Tensor) -> None:
        model(images).square().mean().backward()

    passes = {torch.cuda.Stream(): RecordedPass(model) for _ in range(2)}
    for _ in range(2):
        for stream, recorded in passes.items():
            with torch.cuda.stream(stream):
                assert recorded.run(work, images, labels)
                torch.cuda.synchronize()
                found = [parameter.grad for parameter in model.parameters()]
                torch.testing.assert_close(found, expected)
        del recorded, found
        for stream in list(passes)[:-1]:
            del passes[stream]
        torch.cuda.empty_cache()
