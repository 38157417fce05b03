"""Recorded passes: with a stand-in for the recording they compute what the plain loop computes."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from trainable import measure
from trainable.checkpoint import to_cpu
from trainable.config import TrainConfig
from trainable.epoch import drain, evaluate
from trainable.graphs import WARM_UP, RecordedPass, Recordings
from trainable.optimizers import RatesOnDevice
from trainable.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
CPU, CARD = torch.device("cpu"), torch.device("cuda")
EXACT = 2.0**-7
"""A learning rate that is the same in single and in double precision."""


def stand_in(work: Callable[[], None]) -> Callable[[], None]:
    """Does as a CUDA graph does: nothing when it is recorded, the whole work at a replay."""
    return work


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
        "optimizer": {"name": optimizer, "learning_rate": EXACT},
        "training": {"epochs": 3, "batch_size": 100},
    }
    plain, recorded = tiny_trainer(**sections), tiny_trainer(**sections)
    recorded.recorded = Recordings(CPU, stand_in)
    recorded.rates = RatesOnDevice(recorded.optimizer, CPU)
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
    refused.recorded = Recordings(CPU, refuse)
    for trainer in (plain, refused):
        trainer.run_epoch()
    assert refused.recorded.failure == "operation not permitted when stream is capturing"
    assert_same(refused.state_dict(), plain.state_dict())


def test_what_fails_in_the_evaluation_ends_the_recording_of_both(
    tiny_trainer: MakeTrainer, assert_same: Callable[[Any, Any], None]
) -> None:
    plain, half = (tiny_trainer(training={"epochs": 3, "batch_size": 10}) for _ in range(2))
    recorded = Recordings(CPU, stand_in)
    assert recorded.training is not None
    recorded._evaluation._record = refuse
    half.recorded = recorded
    for trainer in (plain, half):
        trainer.run_epoch()
    assert (recorded.training, recorded.evaluation) == (None, None)
    for trainer in (plain, half):
        trainer.run_epoch()
    assert_same(half.state_dict(), plain.state_dict())


def test_the_first_batches_and_those_of_another_form_are_left_to_the_plain_loop() -> None:
    recorded = RecordedPass(CPU, stand_in)
    seen: list[int] = []

    def run(count: int) -> bool:
        batch = torch.full((count, 1, 2, 2), float(count)), torch.zeros(count)
        return recorded.run(lambda images, labels: seen.append(len(labels)), *batch)

    assert [run(4) for _ in range(WARM_UP)] == [False] * WARM_UP
    assert not run(3)
    assert run(4)
    assert not run(3)
    assert run(4)
    assert seen == [4, 4]


def test_a_replay_reads_the_batch_that_it_is_given() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    recorded = RecordedPass(CPU, stand_in)
    batches = [(torch.randn(5, 1, 2, 2), torch.randint(3, (5,))) for _ in range(WARM_UP + 2)]
    loss_fn = nn.CrossEntropyLoss()
    plain = drain(evaluate(model, batches, loss_fn, autocast=nullcontext))
    for _ in range(2):  # the sums begin at zero again
        again = drain(evaluate(model, batches, loss_fn, autocast=nullcontext, recorded=recorded))
        assert again == plain


def test_what_is_loaded_is_recorded_anew(tiny_trainer: MakeTrainer) -> None:
    trainer, made = tiny_trainer(training={"epochs": 3, "batch_size": 10}), []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        made.append(trainer.model.training)
        return work

    trainer.recorded = Recordings(CPU, record)
    trainer.run_epoch()
    trainer.run_epoch()
    assert made == [True, False]
    trainer.load_state_dict(copy.deepcopy(trainer.state_dict()))
    trainer.run_epoch()
    assert made == [True, False] * 2


def test_the_rates_of_a_card_are_lent_for_a_step_and_never_saved(
    tiny_trainer: MakeTrainer,
) -> None:
    optimizer = tiny_trainer().optimizer
    rates = RatesOnDevice(optimizer, CPU)
    group = optimizer.param_groups[0]
    places = []
    for rate in (0.5, 0.25):
        group["lr"] = rate
        rates.refresh()
        with rates.lent():
            places.append(group["lr"])
            assert float(group["lr"]) == rate
        assert optimizer.state_dict()["param_groups"][0]["lr"] == rate
        assert isinstance(group["lr"], float)
    assert places[0] is places[1]


def test_what_is_measured_is_what_trains(tiny_trainer: MakeTrainer) -> None:
    trainer, replays = tiny_trainer(training={"epochs": 1, "batch_size": 10}), []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        return lambda: replays.append(trainer.model.training) or work()

    trainer.recorded = Recordings(CPU, record)
    assert measure._epoch_s(trainer) > 0
    assert replays.count(True) == 1 + measure.TIMED
    assert replays.count(False) >= 1 + measure.TIMED


@pytest.mark.gpu
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_on_a_card_a_graph_computes_what_the_plain_loop_does(
    tiny_config: Callable[..., TrainConfig],
    assert_same: Callable[[Any, Any], None],
    optimizer: str,
    amp: bool,
) -> None:
    states = []
    for graph in (False, True):
        config = tiny_config(
            seed={"enabled": True, "deterministic": True},
            model={"name": "tiny_models:dropout_cnn"},
            optimizer={"name": optimizer, "learning_rate": 0.01},
            scheduler={"name": "cosine"},
            training={"epochs": 3, "batch_size": 100, "cuda_graph": graph},
            amp={"enabled": amp},
        )
        trainer = Trainer(config, device=torch.device("cuda"), allow_custom_model=True)
        rows = [trainer.run_epoch() for _ in range(3)]
        assert trainer.recorded is None or trainer.recorded.failure is None
        state = to_cpu(trainer.state_dict())
        del state["config"]
        states.append((state, [(row["train_loss"], row["val_loss"]) for row in rows]))
    assert_same(*states)


@pytest.mark.gpu
def test_after_a_recording_that_fails_the_stream_is_that_of_before() -> None:
    model = nn.Linear(4, 2).cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        recorded = RecordedPass(CARD)
        images, labels = torch.ones(3, 4, device=CARD), torch.zeros(3, device=CARD)
        for _ in range(WARM_UP + 1):
            assert not recorded.run(lambda x, _: model(x).sum().item(), images, labels)
        assert torch.cuda.current_stream() == stream
        assert recorded.failure is not None
        model(images).sum().backward()
    torch.cuda.synchronize()


@pytest.mark.gpu
def test_graphs_of_two_streams_outlive_each_other() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).cuda()
    images, labels = torch.randn(128, 256, device=CARD), torch.zeros(128, device=CARD)
    found = torch.zeros((), device=CARD)

    def work(images: torch.Tensor, _: torch.Tensor) -> None:
        gradients = torch.autograd.grad(model(images).square().mean(), model.parameters())
        found.copy_(torch.stack([gradient.square().sum() for gradient in gradients]).sum())

    work(images, labels)
    expected = found.clone()
    passes = {torch.cuda.Stream(): RecordedPass(CARD) for _ in range(2)}
    for stream, recorded in passes.items():
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                assert not recorded.run(work, images, labels)
    for _ in range(2):
        for stream, recorded in passes.items():
            with torch.cuda.stream(stream):
                found.zero_()
                assert recorded.run(work, images, labels)
                torch.cuda.synchronize()
                torch.testing.assert_close(found, expected)
        del recorded
        for stream in list(passes)[:-1]:
            del passes[stream]
        torch.cuda.empty_cache()
