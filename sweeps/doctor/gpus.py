"""Looks at the GPUs, what else runs on them, and whether torch can use them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweeps.cluster.placement import NVIDIA_SMI_TIMEOUT_S
from sweeps.doctor.check import Check
from sweeps.doctor.packages import read_torch_build
from sweeps.terminal.formatting import format_size
from sweeps.terminal.programs import read_output

FIELDS = (
    "index,uuid,name,memory.total,memory.used,driver_version,compute_cap,compute_mode,"
    "mig.mode.current"
)
PROCESS_FIELDS = "gpu_uuid,pid,process_name,used_memory"
OLDEST_DRIVERS = {13: 580, 12: 525, 11: 450}
"""Major version of CUDA -> the oldest driver that runs it, by NVIDIA's table."""
TORCH_INSTALL = "https://pytorch.org/get-started/locally/ has the command for your driver"
TORCH_REMEDY = 'python -c "import torch; torch.cuda.init()" says why'
MIB = 2**20

TORCH_VIEW = (
    "import json, torch;print(json.dumps([torch.cuda.device_count(), torch.cuda.get_arch_list()]))"
)
"""Program that prints what torch sees of the GPUs."""
TORCH_VIEW_S = 60.0
"""Longest time for it: the first import of torch after a start of the machine is slow."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as `nvidia-smi` lists it."""

    index: str
    uuid: str
    name: str
    total_mib: int
    used_mib: int
    driver: str
    capability: str
    mode: str
    mig: str


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU."""

    uuid: str
    pid: str
    name: str
    used_mib: int


@dataclass(frozen=True)
class TorchView:
    """The GPUs as torch sees them."""

    count: int
    architectures: tuple[str, ...]
    """Those that torch was built for, such as `sm_90` and `compute_90`."""


def check_gpus() -> Iterator[Check]:
    """Yields the checks of the GPUs; without `nvidia-smi` there are none."""
    gpus = parse_gpus(_query_gpus(f"--query-gpu={FIELDS}"))
    build = read_torch_build()
    if not gpus:
        if shutil.which("nvidia-smi") is None:
            yield Check("GPUs", "ok", "none, or no nvidia-smi: trials train on the CPU")
        else:
            text = "nvidia-smi lists no GPU, or failed: trials train on the CPU"
            yield Check("GPUs", "warning", text, "nvidia-smi shows why")
        yield Check("torch", "ok", describe_build(build))
        return
    processes = parse_processes(_query_gpus(f"--query-compute-apps={PROCESS_FIELDS}"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    view = None
    if build.get("cuda"):
        view = parse_view(read_output(sys.executable, "-c", TORCH_VIEW, timeout_s=TORCH_VIEW_S))
    yield from judge_gpus(gpus, processes, visible)
    yield from judge_torch(gpus, build, view, visible)


def _query_gpus(query: str) -> str:
    form = "--format=csv,noheader,nounits"
    return read_output("nvidia-smi", query, form, timeout_s=NVIDIA_SMI_TIMEOUT_S)


def parse_gpus(text: str) -> list[Gpu]:
    """Reads the output of `nvidia-smi --query-gpu`; lines of another form are left out."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(FIELDS.split(",")):
            continue
        index, uuid, name, total, used, driver, capability, mode, mig = fields
        memory = (_number(total), _number(used))
        gpus.append(Gpu(index, uuid, name, *memory, driver, capability, mode, mig))
    return gpus


def parse_processes(text: str) -> list[GpuProcess]:
    """Reads the output of `nvidia-smi --query-compute-apps`."""
    processes = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) >= 4:
            name = ",".join(fields[2:-1])  # a path may have commas
            processes.append(GpuProcess(fields[0], fields[1], name, _number(fields[-1])))
    return processes


def parse_view(text: str) -> TorchView | None:
    """Reads the output of `TORCH_VIEW`; None if it could not run."""
    try:
        count, architectures = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError, TypeError):
        return None
    return TorchView(count, tuple(architectures))


def _number(text: str) -> int:
    """Returns a number; 0 for `[N/A]`."""
    return int(text) if text.isdigit() else 0


def judge_gpus(
    gpus: Sequence[Gpu], processes: Sequence[GpuProcess], visible: str | None
) -> Iterator[Check]:
    """Yields what the GPUs are, who else uses them, and whether trials may.

    Args:
        gpus: The machine's GPUs.
        processes: The processes on them.
        visible: The value of `CUDA_VISIBLE_DEVICES`; None if it is not set.
    """
    names = [f"{gpu.index}: {gpu.name}, {format_size(gpu.total_mib * MIB)}" for gpu in gpus]
    yield Check("GPUs", "ok", "; ".join([*names, f"driver {gpus[0].driver}"]))
    if visible is not None and visible.strip() in {"", "-1", "NoDevFiles"}:
        text = f'CUDA_VISIBLE_DEVICES is "{visible}": trials see no GPU and train on the CPU'
        yield Check("GPUs", "warning", text, "unset CUDA_VISIBLE_DEVICES")
    for gpu in gpus:
        others = [
            f"{process.name} (process {process.pid}, {format_size(process.used_mib * MIB)})"
            for process in processes
            if process.uuid == gpu.uuid
        ]
        if others:
            text = f"GPU {gpu.index} is also used by {', '.join(others)}"
            remedy = "choose others with CUDA_VISIBLE_DEVICES, or trials may run out of memory"
            yield Check("GPUs", "warning", text, remedy)
        elif gpu.used_mib > gpu.total_mib / 10:
            text = f"{format_size(gpu.used_mib * MIB)} of GPU {gpu.index} are in use"
            yield Check("GPUs", "warning", text, "nvidia-smi shows by whom, outside a container")
        if gpu.mode.startswith("Exclusive"):
            text = f"GPU {gpu.index} takes one process only ({gpu.mode})"
            yield Check("GPUs", "warning", text, "resources.gpu: 1, or nvidia-smi -c DEFAULT")
        elif gpu.mode == "Prohibited":
            text = f"GPU {gpu.index} takes no process (compute mode {gpu.mode})"
            yield Check("GPUs", "warning", text, "nvidia-smi -c DEFAULT")
        if gpu.mig == "Enabled":
            text = f"GPU {gpu.index} is divided (MIG): a trial sees one of its parts"
            remedy = "name the parts in CUDA_VISIBLE_DEVICES; nvidia-smi -L lists them"
            yield Check("GPUs", "ok", text, remedy)


def judge_torch(
    gpus: Sequence[Gpu], build: Mapping[str, str], view: TorchView | None, visible: str | None
) -> Iterator[Check]:
    """Yields whether torch can use the GPUs.

    Args:
        gpus: The machine's GPUs, at least one.
        build: See `read_torch_build`.
        view: What torch sees; None if it could not say, or is not built for CUDA.
        visible: The value of `CUDA_VISIBLE_DEVICES`.
    """
    version, cuda = describe_build(build), build.get("cuda")
    if cuda is None:
        if "hip" not in build:
            text = f"{version}: trials train on the CPU, although there are GPUs"
            yield Check("torch", "warning", text, TORCH_INSTALL)
        return
    major, driver = int(cuda.partition(".")[0]), gpus[0].driver
    oldest = OLDEST_DRIVERS.get(major)
    if oldest is not None and _number(driver.partition(".")[0]) < oldest:
        text = f"{version}, which needs driver {oldest} or newer; it is {driver}"
        yield Check("torch", "warning", text, f"update the driver, or torch: {TORCH_INSTALL}")
        return
    if view is None:
        text = f"{version}: it does not say which GPUs it sees"
        yield Check("torch", "warning", text, TORCH_REMEDY)
        return
    if view.count == 0 and (visible is None or visible.strip()):
        text = f"{version}: torch sees no GPU, so trials train on the CPU"
        yield Check("torch", "warning", text, TORCH_REMEDY)
        return
    unsupported = [gpu for gpu in gpus if not _is_supported(gpu.capability, view.architectures)]
    for gpu in unsupported:
        text = f"{version}, which has no code for GPU {gpu.index} (capability {gpu.capability})"
        yield Check("torch", "warning", text, f"another torch: {TORCH_INSTALL}")
    if not unsupported:
        yield Check("torch", "ok", f"{version}; it sees {view.count} of {len(gpus)} GPUs")


def describe_build(build: Mapping[str, str]) -> str:
    """Returns torch's version, and what it was built for."""
    if not build:
        return "not installed"
    kind = f"CUDA {build['cuda']}" if "cuda" in build else "ROCm" if "hip" in build else "the CPU"
    return f"{build.get('__version__', 'torch')}, built for {kind}"


def _is_supported(capability: str, architectures: Sequence[str]) -> bool:
    """Whether torch has code for a GPU: its own, an older one of its generation, or for any."""
    if not architectures or not capability.replace(".", "").isdigit():
        return True  # nothing is known
    major, minor = (int(part) for part in capability.split("."))
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        digits = digits.rstrip("af")
        if not digits.isdigit():
            continue
        built = (int(digits[:-1]), int(digits[-1]))
        if kind == "sm" and built[0] == major and built[1] <= minor:
            return True
        if kind == "compute" and built <= (major, minor):
            return True
    return False
