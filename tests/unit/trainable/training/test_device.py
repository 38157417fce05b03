"""The device of a training, without a GPU and with a fake one."""

import pytest
import torch

from trainable.training import device

CUDA = torch.device("cuda", 1)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A GPU of 80 GiB with the index 1; returns the calls that limit its memory."""
    calls: dict[str, object] = {}
    cuda = torch.cuda
    monkeypatch.setattr(device, "_memory_fractions", {})
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "current_device", lambda: 1)
    monkeypatch.setattr(cuda, "reset_peak_memory_stats", lambda where: calls.update(reset=where))
    monkeypatch.setattr(
        cuda,
        "set_per_process_memory_fraction",
        lambda fraction, where: calls.update(fraction=fraction, device=where),
    )
    monkeypatch.setattr(cuda, "mem_get_info", lambda _: (50 * device.GIB, 80 * device.GIB))
    monkeypatch.setattr(cuda, "memory_reserved", lambda _: 10 * device.GIB)
    monkeypatch.setattr(cuda, "memory_allocated", lambda _: 8 * device.GIB)
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda _: 9 * device.GIB)
    return calls


def test_without_a_gpu_the_cpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.default_device() == torch.device("cpu")
    assert device.limited_device(1) == torch.device("cpu")
    assert device.gpu_peak_memory_gib(torch.device("cpu")) is None


def test_a_gpu_gets_its_index(gpu: dict[str, object]) -> None:
    assert device.default_device() == CUDA
    assert device.with_index(torch.device("cuda")) == CUDA
    assert device.with_index(torch.device("cuda", 3)) == torch.device("cuda", 3)
    assert device.with_index(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(("share", "fraction"), [(0.25, 0.25), (1, 1.0), (2, 1.0)])
def test_a_share_of_a_gpu_limits_the_memory_of_the_process(
    gpu: dict[str, object], share: float, fraction: float
) -> None:
    assert device.limited_device(share) == CUDA
    assert gpu == {"reset": CUDA, "fraction": fraction, "device": CUDA}


def test_a_trial_without_a_gpu_limits_nothing(gpu: dict[str, object]) -> None:
    assert device.limited_device(0) == torch.device("cpu")
    assert gpu == {}


@pytest.mark.parametrize(
    ("share", "gib"),
    [
        (1, 50 + 2),  # the GPU's free memory, and cached memory of this process
        (0.25, 20 - 10 + 2),  # the share, less what is reserved
        (0.125, 2),  # a share that is all reserved: what is cached
    ],
)
def test_free_memory_is_limited_by_the_share(
    gpu: dict[str, object], share: float, gib: int
) -> None:
    device.limited_device(share)
    assert device.free_memory(CUDA) == gib * device.GIB


def test_peak_memory_is_in_gib(gpu: dict[str, object]) -> None:
    assert device.gpu_peak_memory_gib(CUDA) == 9
