"""CUDA graphs on a GPU: recordings, one that fails, several at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.reading_back import READS, do
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import TrainConfig
from trainable.training.gpu.cuda_graphs import (
    RECORDED,
    WARM_UP,
    CudaRecorder,
)
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
DROPOUT_CNN, MLP = "tiny_models:dropout_cnn", "tiny_models:mlp"


# ---------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("model", [DROPOUT_CNN, "resnet20"])
def test_on_a_gpu_a_graph_computes_what_the_plain_loop_does(
    tiny_config: Callable[..., TrainConfig],
    assert_same: Callable[[Any, Any], None],
    model: str,
    optimizer: str,
    dtype: str | None,
) -> None:
    states = []
    for graph in (False, True):
        config = tiny_config(
            seed={"enabled": True, "deterministic": True},
            model={"name": model},
            optimizer={"name": optimizer, "learning_rate": 0.01},
            scheduler={"name": "cosine"},
            training={"epochs": 3, "batch_size": 100, "cuda_graph": graph},
            amp={"enabled": True, "dtype": dtype} if dtype else {"enabled": False},
        )
        trainer = Trainer(config, device=GPU, allow_custom_model=True)
        rows = [trainer.run_epoch() for _ in range(3)]
        expected = RECORDED if graph else "training.cuda_graph is false"
        assert [row["cuda_graph"] for row in rows] == [expected] * 3
        state = to_cpu(trainer.state_dict())
        del state["config"]
        states.append((state, [(row["train_loss"], row["val_loss"]) for row in rows]))
    assert_same(*states)


@pytest.mark.gpu
def test_on_a_gpu_a_value_read_back_is_noticed_before_the_recording() -> None:
    values, recorder = torch.ones(3, device=GPU), CudaRecorder(GPU)
    with torch.cuda.stream(torch.cuda.Stream(GPU)):
        assert recorder.find_synchronization(lambda: do(Tensor.abs, values)) is None
        for name in ("item", "branch", "nonzero", "mask", "equal"):
            read = READS[name]
            line = recorder.find_synchronization(partial(do, read, values))
            assert line is not None, name
    assert torch.cuda.get_sync_debug_mode() == 0


@pytest.mark.gpu
def test_on_a_gpu_a_recording_that_fails_leaves_the_process_usable() -> None:
    """If it fails, run it alone: its effects may make other tests fail."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5)).to(GPU)
    images, total = torch.ones(8, 64, device=GPU), torch.zeros((), device=GPU)
    stream = torch.cuda.Stream(GPU)
    with torch.cuda.stream(stream):
        recorder = CudaRecorder(GPU)

        def work() -> None:
            total.copy_(model(images).sum().detach())

        for _ in range(WARM_UP):
            work()
        with pytest.raises(RuntimeError):
            recorder.record(lambda: do(Tensor.item, model(images).sum()))
        assert torch.cuda.current_stream(GPU) == stream
        torch.cuda.empty_cache()
        model(images).sum().backward()  # draws random numbers
        replay = recorder.record(work)
        replay()
        first = total.clone()
        replay()
        torch.cuda.synchronize(GPU)
        assert first != total  # every replay draws other numbers
        del replay
        torch.cuda.empty_cache()


@pytest.mark.gpu
def test_on_a_gpu_graphs_of_two_streams_outlive_each_other() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).to(GPU)
    images, total = torch.randn(128, 256, device=GPU), torch.zeros((), device=GPU)

    def work() -> None:
        gradients = torch.autograd.grad(model(images).square().mean(), list(model.parameters()))
        total.copy_(torch.stack([gradient.square().sum() for gradient in gradients]).sum())

    work()
    torch.cuda.synchronize(GPU)
    expected, replays = total.clone(), {}
    for _ in range(2):
        stream = torch.cuda.Stream(GPU)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                work()
            replays[stream] = CudaRecorder(GPU).record(work)
    while replays:
        for stream, replay in replays.items():
            with torch.cuda.stream(stream):
                total.zero_()
                replay()
                torch.cuda.synchronize(GPU)
                torch.testing.assert_close(total, expected)
        del replay
        del replays[next(iter(replays))]
        torch.cuda.empty_cache()
