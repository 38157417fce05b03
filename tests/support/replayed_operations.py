"""Stand-in for a CUDA graph on the CPU: replays operations instead of running Python again.

A recording dispatches the work once and keeps every operation with its tensors and numbers. A
replay runs these operations on these tensors. It therefore has the pitfalls of a CUDA graph:
Python does not run again, numbers of the host are frozen, tensors keep their addresses,
and an operation whose result the host needs is refused. Reading memory without an operation
(`tolist`, `numpy`) goes unnoticed on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

_ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_READ_BACK = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_TORCH = torch.__name__


class Operation(NamedTuple):
    """A dispatched operation, as it was called."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    @property
    def launches(self) -> int:
        """Number of kernels; one except for operations that launch several."""
        if self.function.overloadpacket is torch.ops.aten.convolution_backward:
            return sum(self.args[-1])  # gradients of the input, the weight and the bias
        return 1


class Recording:
    """The operations of a piece of work; calling it runs them again on the same tensors.

    Attributes:
        operations: The operations that launch kernels, in order.
        replays: The number of replays so far.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.replays = 0

    @property
    def launches(self) -> int:
        """Number of kernels that a GPU would launch for it."""
        return sum(operation.launches for operation in self.operations)

    def __call__(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for function, args, kwargs, result in self.operations:
                again = function(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class ReplayRecorder:
    """`trainable.training.gpu.cuda_graphs.Recorder` for the CPU.

    Attributes:
        recordings: All recordings so far.
    """

    def __init__(self) -> None:
        self.recordings: list[Recording] = []

    def record(self, work: Callable[[], None]) -> Recording:
        """See `record`."""
        self.recordings.append(record(work))
        return self.recordings[-1]

    def find_synchronization(self, work: Callable[[], None]) -> str | None:
        """Does the work, and returns the first line that reads a value back."""
        watch = _WaitWatch()
        with watch:
            work()
        return watch.lines[0] if watch.lines else None

    def memory_shortage(self) -> str | None:
        """Returns None: it needs no memory of a GPU."""
        return None


def record(work: Callable[[], None]) -> Recording:
    """Records work in a dry run, whose changes to tensors are undone.

    Raises:
        RuntimeError: The work reads a value back; the message is CUDA's.
    """
    recording = Recording()
    with _roll_back(), _Tape(recording.operations, refuses_waits=True):
        work()
    return recording


def count_launches(work: Callable[[], None]) -> int:
    """Does the work and returns how many kernels a GPU would launch for it."""
    recording = Recording()
    with _Tape(recording.operations, refuses_waits=False):
        work()
    return recording.launches


class _Tape(TorchDispatchMode):
    """Records every operation that launches a kernel, which views and allocations do not."""

    def __init__(self, operations: list[Operation], *, refuses_waits: bool) -> None:
        super().__init__()
        self._operations = operations
        self._refuses_waits = refuses_waits

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._refuses_waits and _reads_back(func, args):
            raise RuntimeError(f"operation not permitted when stream is capturing ({func})")
        result = func(*args, **kwargs)
        if not _is_free(func, args, kwargs, result):
            # Aliases: autograd copies a gradient that has another reference.
            aliases = tree_map_only(Tensor, Tensor.detach, (args, kwargs, result))
            self._operations.append(Operation(func, *aliases))
        return result


class _WaitWatch(TorchDispatchMode):
    """Records where values are read back, like `torch.cuda.set_sync_debug_mode("warn")`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if _reads_back(func, args):
            self.lines.append(_find_line_outside_torch())
        return func(*args, **(kwargs or {}))


class _Undo(TorchDispatchMode):
    """Copies older tensors before operations change them, to restore them."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._new: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for storage in _find_storages((args, kwargs)):
            address = storage.data_ptr()
            if address not in self._new and address not in self._saved:
                self._saved[address] = storage, storage.clone()
        result = func(*args, **kwargs)
        self._new |= {
            storage.data_ptr() for storage in _find_storages(result)
        } - self._saved.keys()
        return result

    def restore(self) -> None:
        for storage, copy in self._saved.values():
            storage.copy_(copy)


@contextmanager
def _roll_back() -> Iterator[None]:
    """Undoes changes to tensors and to torch's generator, but not to Python objects."""
    rng_state, undo = torch.get_rng_state(), _Undo()
    try:
        with undo:
            yield
    finally:
        undo.restore()
        torch.set_rng_state(rng_state)


def _reads_back(func: Any, args: tuple[Any, ...]) -> bool:
    """Returns whether the host waits for values of tensors."""
    if func.overloadpacket is torch.ops.aten.index:  # by a mask: as many values as it has ones
        masks = (torch.bool, torch.uint8)
        return any(index is not None and index.dtype in masks for index in args[1])
    return bool(_READ_BACK & set(func.tags))


def _is_free(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> bool:
    """Returns whether an operation launches no kernel: allocations, views, empty tensors."""
    if func.overloadpacket.__name__ in _ALLOCATIONS or torch.Tag.inplace_view in func.tags:
        return True
    if func._schema.is_mutable:
        return False
    inputs = {storage.data_ptr() for storage in _find_storages((args, kwargs))}
    outputs = {storage.data_ptr() for storage in _find_storages(result)}
    return outputs <= inputs  # `_to_copy` and the like may do either


def _find_storages(values: Any) -> list[torch.UntypedStorage]:
    """Returns the storages of all tensors in nested values that are not empty."""
    tensors = (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
    return [tensor.untyped_storage() for tensor in tensors if tensor.untyped_storage().nbytes()]


def _find_line_outside_torch() -> str:
    """Returns file and line of the innermost frame that is neither torch's nor this module's."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and module.partition(".")[0] != _TORCH:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
