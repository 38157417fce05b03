"""The line about a GPU's memory in an error, through torch's own Python; see `test_cuda_contract`.

Only the driver's functions are replaced, so no GPU is needed.
"""

from types import SimpleNamespace

import pytest
import torch

from sweeps.trials.oom_memory import DEVICE_LINE
from tests.unit.trainable.test_cuda_contract import GPU, Driver
from trainable.training.device import GIB, limited_device, name_device, naming_device


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A GPU of 80 GiB, of which 50 are free and torch has reserved 20."""
    driver = Driver(monkeypatch)
    monkeypatch.setattr("trainable.training.device._memory_fractions", {})
    driver.answer("_cuda_memoryStats", {"reserved_bytes": {"all": {"current": 20 * GIB}}})
    properties = SimpleNamespace(name="A GPU", total_memory=80 * GIB)
    driver.replace(torch.cuda, "_get_device_properties", lambda _: properties, raising=False)
    runtime = SimpleNamespace(cudaMemGetInfo=lambda device: {0: (50 * GIB, 80 * GIB)}[device])
    driver.replace(torch.cuda, "_cudart", runtime)
    return driver


@pytest.mark.parametrize(("share", "usable"), [(0.5, 50.0), (1.0, 87.5)])
def test_the_driver_of_a_sweep_reads_what_torch_says_of_a_gpu(
    share: float, usable: float, driver: Driver
) -> None:
    assert limited_device(share) == GPU
    assert ("_cuda_setMemoryFraction", share, 0) in driver.calls
    with pytest.raises(torch.OutOfMemoryError) as caught, naming_device(share):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    line = DEVICE_LINE.search("\n".join(caught.value.__notes__))
    assert line is not None
    assert line["device"] == name_device(GPU) == "A GPU (80.0 GiB)"
    assert (float(line["share"]), float(line["usable"])) == (100 * share, usable)
