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


@pytest.mark.parametrize(
    ("share", "reserved", "usable"),
    [
        (0.25, 10, "25"),  # all of the share is there
        (0.25, 20, "25"),  # or would be, if this process did not have it
        (1, 10, "75"),  # other processes have the rest of the GPU
    ],
)
def test_an_error_about_memory_has_a_line_about_the_gpu(
    gpu: dict[str, object],
    share: float,
    reserved: int,
    usable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A GPU")
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved * device.GIB)
    device.limited_device(share)
    with pytest.raises(torch.OutOfMemoryError) as caught, device.naming_device(share):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert caught.value.__notes__ == [
        f"on A GPU (80.0 GiB), of which this process may use {100 * share:g} % and could use "
        f"{usable} %"
    ]


def test_an_error_of_a_gpu_that_has_failed_stays_as_it_is(
    gpu: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(torch.OutOfMemoryError) as caught, device.naming_device(1):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    ("error", "is_of_gpu"),
    [
        (torch.OutOfMemoryError("HIP out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), False),
        (RuntimeError("std::bad_alloc"), False),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), False),
        (RuntimeError("unable to mmap: Cannot allocate memory (12)"), False),
    ],
)
def test_an_error_about_main_memory_says_nothing_of_the_gpu(
    gpu: dict[str, object],
    error: MemoryError | RuntimeError,
    is_of_gpu: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A GPU")
    with pytest.raises(type(error)) as caught, device.naming_device(0.5):
        raise error
    assert hasattr(caught.value, "__notes__") == is_of_gpu


def test_peak_memory_is_in_gib(gpu: dict[str, object]) -> None:
    assert device.gpu_peak_memory_gib(CUDA) == 9
