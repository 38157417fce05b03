"""Facts on this machine that the size of a sweep depends on."""

from __future__ import annotations

from dataclasses import dataclass

from sweeps.cluster.placement import this_machine, usable_cpus
from sweeps.terminal.formatting import count_of
from trainable.data.cache.memory import machine_memory

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """Cores, GPUs and memory of a machine, or of the container on it."""

    cpus: int
    gpus: int
    """GPUs that torch can use."""
    memory_gib: float
    idle_gpus: int = 0
    """GPUs that the driver lists and torch cannot use."""

    @property
    def resources(self) -> dict[str, float]:
        """Its resources under Ray's names."""
        return {"CPU": float(self.cpus), "GPU": float(self.gpus)}

    def describe(self) -> str:
        """Returns e.g. `2 CPU cores, no GPU`."""
        gpus = count_of(self.gpus, "GPU") if self.gpus else "no GPU"
        return f"{count_of(self.cpus, 'CPU core')}, {gpus}"


def read_machine() -> Machine:
    """Returns the facts on this machine; imports torch only if the driver lists a GPU."""
    listed = usable = int(this_machine()["GPU"])
    if listed:
        from trainable.profiling.cost import gpu_count

        usable = min(listed, gpu_count())
    cpus = max(1, int(usable_cpus()))
    return Machine(cpus, usable, machine_memory() / GIB, listed - usable)
