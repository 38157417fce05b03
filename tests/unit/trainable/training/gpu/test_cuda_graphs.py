"""Recorded steps compute what plain steps compute, tested with a fake that replays operations.

The tests marked `gpu` record CUDA graphs; nothing else here needs a GPU.
"""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.replayed_operations import Recording, ReplayRecorder
from trainable.artifacts.checkpoint import OPTIMIZER
from trainable.config import TrainConfig
from trainable.optim.optimizers import DeviceLearningRates
from trainable.profiling import cost
from trainable.training.gpu.cuda_graphs import (
    MIN_BATCHES,
    RECORDED,
    WARM_UP,
    CudaGraphs,
    graph_refusal,
)
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
Pair = tuple[Trainer, Trainer]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
DROPOUT_CNN, MLP = "tiny_models:dropout_cnn", "tiny_models:mlp"


class RefusingRecorder(ReplayRecorder):
    """Refuses one of the recordings.

    Args:
        number: Of the recording, from 1.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.refusals = 0

    def record(self, work: Callable[[], None]) -> Recording:
        if len(self.recordings) + 1 == self._number:
            self.refusals += 1
            try:
                raise RuntimeError("operation not permitted when stream is capturing\nmore")
            except RuntimeError:
                raise RuntimeError("the end of the capture: see above")  # noqa: B904 (as torch)
        return super().record(work)


class SmallGpu(ReplayRecorder):
    """Has no memory for a recording."""

    REASON = "it would need 2.00 GiB of GPU memory, 1.00 are free"

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0

    def memory_shortage(self) -> str | None:
        self.refusals += 1
        return self.REASON


def replay_steps(
    trainer: Trainer, recorder: ReplayRecorder | None = None, *, unchecked: bool = False
) -> ReplayRecorder:
    """Makes a training record its steps, as on a GPU.

    Args:
        trainer: On the CPU.
        recorder: The stand-in.
        unchecked: Trust the model as if it were a built-in one.
    """
    recorder = recorder or ReplayRecorder()
    trainer.record_with(recorder)
    if unchecked:
        size = trainer.config.training.batch_size
        trainer.graphs = CudaGraphs(trainer.train_step, trainer.evaluation_step, size, recorder)
    return recorder


@pytest.fixture
def make_pair(tiny_trainer: MakeTrainer) -> Callable[..., Pair]:
    """Builds two equal trainings whose learning rates are tensors, as on a GPU."""

    def make(*, half: bool = False, **sections: Any) -> Pair:
        # 60 divides neither split's images: the last batch of a pass has another shape.
        defaults = {
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "scheduler": {"name": "cosine"},
            "training": {"epochs": 3, "batch_size": 60},
        }
        trainers = (
            tiny_trainer(**{**defaults, **sections}),
            tiny_trainer(**{**defaults, **sections}),
        )
        for trainer in trainers:
            trainer.train_step.rates = DeviceLearningRates(trainer.optimizer, CPU)
            if half:
                trainer.train_step.amp_dtype = trainer.evaluation_step.amp_dtype = torch.bfloat16
        return trainers

    return make


@pytest.fixture
def run_both(
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> Callable[..., None]:
    """Runs epochs of two trainings and asserts that their states are equal bit by bit."""

    def run(trainers: Pair, epochs: int = 1) -> None:
        for _ in range(epochs):
            rows = [without_times(trainer.run_epoch()) for trainer in trainers]
            for row in rows:
                del row["cuda_graph"]
            assert rows[0] == rows[1]
        assert_same(trainers[1].state_dict(), trainers[0].state_dict())

    return run


def weights_differ(trainers: Pair, epochs: int = 1) -> bool:
    """Runs epochs of two trainings; returns whether any weights differ afterwards."""
    for trainer in trainers:
        for _ in range(epochs):
            trainer.run_epoch()
    weights = [list(trainer.model.parameters()) for trainer in trainers]
    return not all(torch.equal(left, right) for left, right in zip(*weights, strict=True))


# ---------------------------------------------------------------------- whole trainings


@pytest.mark.parametrize(
    ("model", "optimizer", "half"),
    [
        (DROPOUT_CNN, "sgd", False),
        (DROPOUT_CNN, "adamw", True),
        pytest.param("resnet20", "sgd", False, marks=pytest.mark.slow),
        pytest.param("resnet20", "adamw", True, marks=pytest.mark.slow),
    ],
)
def test_a_recorded_training_is_the_plain_one(
    make_pair: Callable[..., Pair],
    run_both: Callable[..., None],
    model: str,
    optimizer: str,
    half: bool,
) -> None:
    plain, recorded = make_pair(
        half=half,
        model={"name": model},
        optimizer={"name": optimizer, "learning_rate": 0.01},
    )
    recorder = replay_steps(recorded)
    run_both((plain, recorded), epochs=2)
    assert recorded.graph_status == RECORDED
    training, evaluation = recorder.recordings
    assert training.replays > 15
    assert evaluation.replays > 1


def test_a_training_with_soft_targets_is_recorded(
    make_pair: Callable[..., Pair], run_both: Callable[..., None]
) -> None:
    augment = {"mixup": {"off_epoch": 2}}  # targets stay soft, so the recording is kept
    plain, recorded = make_pair(model={"name": DROPOUT_CNN}, augment=augment)
    recorder = replay_steps(recorded)
    run_both((plain, recorded), epochs=2)
    assert recorded.graph_status == RECORDED
    assert recorder.recordings[0].replays > 15


def test_a_model_recorded_without_checks_computes_the_same(
    make_pair: Callable[..., Pair], run_both: Callable[..., None]
) -> None:
    """Its steps are recorded in fewer operations, and no batch runs twice for a comparison."""
    plain, recorded = make_pair(half=True, model={"name": DROPOUT_CNN})
    replay_steps(recorded, unchecked=True)
    run_both((plain, recorded), epochs=2)
    assert recorded.graph_status == RECORDED


@pytest.mark.parametrize("number", [1, 2], ids=["training", "evaluation"])
def test_a_recording_that_fails_ends_all_recording_and_loses_nothing(
    make_pair: Callable[..., Pair], run_both: Callable[..., None], number: int
) -> None:
    plain, refused = make_pair()
    recorder = RefusingRecorder(number)
    replay_steps(refused, recorder)
    run_both((plain, refused), epochs=2)
    assert recorder.refusals == 1  # it is not tried again
    assert refused.graph_status == "operation not permitted when stream is capturing"
    assert refused.graphs is not None
    assert not refused.graphs.training.is_recorded
    assert not refused.graphs.evaluation.is_recorded


def test_nothing_is_recorded_if_there_is_too_little_memory(
    make_pair: Callable[..., Pair], run_both: Callable[..., None]
) -> None:
    plain, small = make_pair()
    recorder = SmallGpu()
    replay_steps(small, recorder, unchecked=True)
    run_both((plain, small))
    assert small.run_epoch()["cuda_graph"] == SmallGpu.REASON
    assert recorder.recordings == []
    assert recorder.refusals == 1


# ---------------------------------------------------------------------- which batches


def test_the_first_batches_and_those_of_another_shape_are_not_replayed(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer(training={"epochs": 1, "batch_size": 4})
    recorder = replay_steps(trainer, unchecked=True)
    assert trainer.graphs is not None
    trainer.train_step.start_pass()

    def replays_after(count: int) -> int:
        assert trainer.graphs is not None
        labels = torch.zeros(count, dtype=torch.int64)
        trainer.graphs.training.run(torch.rand(count, 1, 8, 8), labels)
        return sum(recording.replays for recording in recorder.recordings)

    assert [replays_after(4) for _ in range(WARM_UP)] == [0] * WARM_UP
    assert [replays_after(count) for count in (3, 4, 3, 4, 5, 4)] == [0, 1, 1, 2, 2, 3]


def test_a_replay_waits_for_a_copy_of_the_weights(tiny_trainer: MakeTrainer) -> None:
    """A checkpoint may be being copied; the wait is Python code, which a replay does not run."""
    trainer = tiny_trainer(training={"epochs": 3, "batch_size": 100})
    recorder = replay_steps(trainer, unchecked=True)
    trainer.run_epoch()
    replays = recorder.recordings[0].replays
    waits: list[int] = []
    trainer.train_step.pending_copy = lambda: waits.append(recorder.recordings[0].replays)
    trainer.run_epoch()
    assert waits == [replays]
    assert recorder.recordings[0].replays > replays


def test_a_training_reports_whether_it_is_recorded(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(training={"epochs": 3, "batch_size": 100})
    assert trainer.run_epoch()["cuda_graph"] == "no CUDA device"
    replay_steps(trainer)
    assert trainer.graph_status == "too few full batches so far"
    assert trainer.run_epoch()["cuda_graph"] == RECORDED


REFUSALS = [
    ({}, 10 * MIN_BATCHES, None),
    ({}, MIN_BATCHES - 1, f"fewer than {MIN_BATCHES} full batches to train"),
    ({"training": {"cuda_graph": False}}, 1000, "training.cuda_graph is false"),
    ({"training": {"cuda_graph": True}}, 1, None),
    ({"training": {"accumulation_steps": 2}}, 1000, "training.accumulation_steps is above 1"),
    ({"model": {"name": DROPOUT_CNN}}, 1000, "custom model; training.cuda_graph: true tries it"),
    ({"model": {"name": DROPOUT_CNN}, "training": {"cuda_graph": True}}, 1000, None),
]


@pytest.mark.parametrize(("sections", "batches", "reason"), REFUSALS)
def test_which_trainings_are_recorded_on_a_gpu(
    tiny_config: Callable[..., TrainConfig],
    sections: dict[str, dict[str, Any]],
    batches: int,
    reason: str | None,
) -> None:
    config = tiny_config(**{"model": {"name": "resnet20"}, **sections})
    assert graph_refusal(config, GPU, batches) == reason
    assert graph_refusal(config, CPU, batches) == "no CUDA device"


def test_the_cost_is_measured_with_recorded_steps(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(training={"epochs": 1, "batch_size": 10})
    recorder = replay_steps(trainer, unchecked=True)
    assert cost._measure_epoch_s(trainer) > 0
    training, evaluation = recorder.recordings
    assert training.replays >= cost.timed_batches(trainer)
    assert evaluation.replays >= cost.timed_batches(trainer)


# ---------------------------------------------------------------------- loads


def test_a_load_of_values_keeps_the_recording(
    make_pair: Callable[..., Pair], run_both: Callable[..., None]
) -> None:
    plain, recorded = make_pair(model={"name": DROPOUT_CNN})
    recorder = replay_steps(recorded, unchecked=True)
    run_both((plain, recorded))
    state = copy.deepcopy(plain.state_dict())
    run_both((plain, recorded))
    for trainer in (plain, recorded):
        trainer.load_state_dict(copy.deepcopy(state))
    run_both((plain, recorded), epochs=2)
    assert len(recorder.recordings) == 2


def test_a_load_of_another_hyperparameter_keeps_the_own_one_and_the_recording(
    make_pair: Callable[..., Pair], run_both: Callable[..., None]
) -> None:
    """A recording contains the momentum as a number."""
    plain, recorded = make_pair(model={"name": DROPOUT_CNN})
    recorder = replay_steps(recorded, unchecked=True)
    run_both((plain, recorded))
    state = copy.deepcopy(plain.state_dict())
    for group in state[OPTIMIZER]["param_groups"]:
        group["momentum"] = 0.5
    for trainer in (plain, recorded):
        trainer.load_state_dict(copy.deepcopy(state))
    run_both((plain, recorded), epochs=2)
    assert len(recorder.recordings) == 2
    assert recorded.optimizer.param_groups[0]["momentum"] == 0.9


# ---------------------------------------------------------------------- what a graph would break


def test_a_learning_rate_recorded_as_a_number_changes_the_result(
    make_pair: Callable[..., Pair],
) -> None:
    plain, recorded = make_pair(model={"name": DROPOUT_CNN})
    recorded.train_step.rates = None
    replay_steps(recorded, unchecked=True)
    assert weights_differ((plain, recorded), epochs=2)


def test_buffers_replaced_by_a_load_change_the_result(make_pair: Callable[..., Pair]) -> None:
    """The optimizer's own load creates new tensors; the recording still uses the old ones."""
    plain, recorded = make_pair(model={"name": DROPOUT_CNN})
    replay_steps(recorded, unchecked=True)
    assert not weights_differ((plain, recorded))
    state = copy.deepcopy(plain.optimizer.state_dict())
    assert not weights_differ((plain, recorded))
    for trainer in (plain, recorded):
        trainer.optimizer.load_state_dict(copy.deepcopy(state))
    assert weights_differ((plain, recorded))


def toss_coin(module: nn.Module, inputs: object, logits: Tensor) -> Tensor:
    """Forward hook that takes a decision in Python."""
    return 2 * logits if random.random() < 0.5 else logits


def read_back(module: nn.Module, inputs: object, logits: Tensor) -> Tensor:
    """Forward hook that waits for a value."""
    return logits / max(1.0, logits.detach().abs().max().item())


def swap_weights(module: nn.Module, inputs: object, logits: Tensor) -> None:
    """Forward hook that replaces the tensors of the weights."""
    if module.training:
        for parameter in module.parameters():
            parameter.data = 0.99 * parameter.data


DECIDING = {
    toss_coin: "the step draws random numbers on the CPU",
    swap_weights: "the model puts other tensors in the place of its weights or buffers",
}


@pytest.mark.parametrize("hook", DECIDING)
def test_a_decision_in_python_changes_the_result(
    make_pair: Callable[..., Pair], hook: Callable[..., Any]
) -> None:
    trainers = make_pair(model={"name": MLP})
    for trainer in trainers:
        trainer.model.register_forward_hook(hook)
    replay_steps(trainers[1], unchecked=True)
    assert weights_differ(trainers)
    assert trainers[1].graph_status == RECORDED


@pytest.mark.parametrize("hook", DECIDING)
def test_a_model_that_decides_in_python_is_refused(
    make_pair: Callable[..., Pair], run_both: Callable[..., None], hook: Callable[..., Any]
) -> None:
    trainers = make_pair(model={"name": MLP})
    for trainer in trainers:
        trainer.model.register_forward_hook(hook)
    recorder = replay_steps(trainers[1])
    run_both(trainers, epochs=2)
    assert trainers[1].graph_status == DECIDING[hook]
    assert recorder.recordings == []


@pytest.mark.parametrize("unchecked", [False, True])
def test_a_step_that_reads_a_value_back_is_not_recorded(
    make_pair: Callable[..., Pair], run_both: Callable[..., None], unchecked: bool
) -> None:
    plain, recorded = make_pair(model={"name": MLP})
    for trainer in (plain, recorded):
        trainer.model.register_forward_hook(read_back)
    recorder = replay_steps(recorded, unchecked=unchecked)
    run_both((plain, recorded), epochs=2)
    reason = recorded.graph_status
    assert reason.startswith("the step waits for the GPU at ")
    assert Path(__file__).name in reason
    assert recorder.recordings == []


def test_metrics_of_a_recorded_evaluation_are_those_of_the_step(
    make_pair: Callable[..., Pair], run_both: Callable[..., None]
) -> None:
    """Logits are copied out after every replay, also of the last batch, which is not replayed."""
    metrics = ["f1_macro", "auroc", "confusion_matrix"]
    plain, recorded = make_pair(metrics=metrics)
    recorder = replay_steps(recorded, unchecked=True)
    run_both((plain, recorded), epochs=2)
    assert len(recorder.recordings) == 2
    assert recorded.graphs is not None
    assert recorded.graphs.evaluation.is_recorded
