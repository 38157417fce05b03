"""Trainings on a GPU without recordings, against the CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.gpu.checks.common import (
    BATCH,
    DEVICE,
    ON_GPU,
    SHAPE,
    Check,
    assert_close,
    assert_recorded,
    count_waits,
    data_of,
    difference,
    need_gpu,
    state_of,
    trained,
    trainer_of,
)
from trainable.artifacts.checkpoint import SCALER
from trainable.config import parse_config
from trainable.training.device import limited_device
from trainable.training.epoch import drain
from trainable.training.trainer import Trainer

CPU = torch.device("cpu")


def memory_limit() -> str:
    device = limited_device(0.25)
    assert not ON_GPU or device.index is not None
    need_gpu()
    total = torch.cuda.mem_get_info()[1]
    try:
        torch.empty(int(total * 0.3), dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        limited_device(1)
        torch.empty(int(total * 0.3), dtype=torch.uint8, device=device)
        torch.cuda.empty_cache()
        return "0.3 of the GPU refused at 0.25, given at 1"
    raise AssertionError("0.3 of the GPU was given to a process with 0.25")


def streams() -> str:
    trainer_of()
    need_gpu()
    assert torch.cuda.current_stream() != torch.cuda.default_stream()
    return "not the default stream"


def evaluation_data() -> str:
    sources = [trainer_of(device).source for device in (CPU, DEVICE)]
    on_cpu, here = (
        [(images.cpu(), labels.cpu()) for images, labels in source.eval_batches("test", BATCH)]
        for source in sources
    )
    return assert_close(here, on_cpu, 1e-6)


def steps_as_on_the_cpu() -> str:
    torch.backends.cudnn.allow_tf32 = False
    generator = torch.Generator().manual_seed(1)
    batches = [
        (
            torch.randn(32, *SHAPE, generator=generator),
            torch.randint(10, (32,), generator=generator),
        )
        for _ in range(3)
    ]
    results = []
    for device in (CPU, DEVICE):
        trainer = trainer_of(device)
        scores = [
            drain(trainer.train_on([(images.to(device), labels.to(device))])).loss
            for images, labels in batches
        ]
        results.append((scores, state_of(trainer)["model_state_dict"]))
    return f"three steps of resnet20 in float32 {assert_close(results[1], results[0], 5e-3)}"


def bfloat16_by_default() -> str:
    values = data_of()
    config = parse_config({**values, "amp": {"enabled": True}})
    assert config.amp.dtype == "bfloat16"
    trainer = Trainer(config, device=DEVICE)
    row = trainer.run_epoch()
    assert SCALER not in trainer.state_dict()
    assert not ON_GPU or trainer.train_step.amp_dtype is torch.bfloat16
    return f"without a scaler, loss {row['train_loss']:.3f}"


def first_step_overflows() -> str:
    """GradScaler skips the first steps; torch's own SGD would then use uninitialised memory."""
    need_gpu()
    trainer = trainer_of(amp="float16")
    state = trainer.state_dict()
    trainer.load_state_dict({**state, SCALER: {**state[SCALER], "scale": 2.0**40}})
    images = torch.randn(32, *SHAPE, device=DEVICE)
    labels = torch.randint(10, (32,), device=DEVICE)
    for _ in range(40):
        drain(trainer.train_on([(images, labels)]))
    scale = trainer.scaler.get_scale()
    assert scale < 2.0**40, "no step has overflowed"
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters()), "not finite"
    assert max(float(p.detach().abs().max()) for p in trainer.model.parameters()) < 1e3
    return f"the scale fell to {scale:g}, weights finite"


def nothing_waits() -> str:
    need_gpu()
    trainer = trainer_of(amp="float16")
    drain(trainer.train_on(trainer.source.train_batches(BATCH, seed=1)))
    return count_waits(
        lambda: drain(trainer.train_on(trainer.source.train_batches(BATCH, seed=2)))
    )


def image_folder() -> str:
    with tempfile.TemporaryDirectory() as place:
        rng = np.random.default_rng(0)
        for split, count in (("train", 60), ("test", 12)):
            for name in "ab":
                folder = Path(place, split, name)
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = rng.integers(0, 255, (40, 40, 3), np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
        values = data_of(
            graph=True,
            dataset={"name": "image_folder", "root": place, "image_size": 32},
            training={"batch_size": 16},
        )
        trainer = Trainer(parse_config(values), device=DEVICE, num_workers=2)
        rows = trained(trainer)
    assert_recorded(rows[-1])
    return f"a DataLoader, {rows[-1]['images_per_s']:.0f} images/s, {rows[-1]['cuda_graph']}"


def eager_again() -> str:
    """Two trainings of one seed, to know what "bit by bit" is worth here."""
    states = []
    for _ in range(2):
        trainer = trainer_of()
        trained(trainer, 1)
        states.append(state_of(trainer))
    gap = difference(*states)
    assert gap == 0, f"two eager trainings are apart by {gap:.1g}"
    return "bit by bit"


CHECKS: dict[str, Check] = {
    "memory limit": memory_limit,
    "stream": streams,
    "evaluation data": evaluation_data,
    "as on the CPU": steps_as_on_the_cpu,
    "the same twice": eager_again,
    "bfloat16 by default": bfloat16_by_default,
    "first step overflows": first_step_overflows,
    "nothing waits": nothing_waits,
    "image folder": image_folder,
}
