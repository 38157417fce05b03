"""Assumptions about torch's CUDA interface, one check per name that the project uses.

Torch's own Python runs; only its driver's functions are replaced (`torch._C._cuda_*`), so no GPU
is needed. What is C++ from the first line is called with the project's arguments and has to get
as far as the driver: wrong arguments are refused before that.

A release of torch is taken when this file passes with it, as with the oldest one that pyproject
allows. What torch computes on a GPU is tested in `tests/gpu`.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.source_files import nodes, sources
from trainable.training.device import limited_device

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
HAS_GPU = torch.cuda.is_available()

NAMESPACES = (
    "torch.cuda",
    "torch._C",
    "torch.Event",
    "torch.Generator",
    "torch.Stream",
    "torch._dynamo",
    "torch._foreach_",
    "torch.accelerator",
    "torch.amp",
    "torch.backends",
    "torch.compiler",
)
"""Prefixes of the names that need a check here."""
METHODS = {"clone_state", "graphsafe_get_state", "graphsafe_set_state"}
"""Methods of torch's objects that need a check."""

DOTTED = re.compile(r"[\w.]+")
CAPTURE_MODES = {"global", "thread_local", "relaxed"}
"""Modes that `CUDAGraph.capture_begin`, which is C++, knows."""

CHECKS: dict[str, Callable[[Driver], None]] = {}
"""Every name of torch's that the project uses for GPUs, and what it relies on."""

needs_cuda_build = pytest.mark.skipif(
    torch.version.cuda is None, reason="this build of torch has no CUDA"
)


class Driver:
    """Replaces the driver and records the calls.

    Args:
        monkeypatch: Undoes the replacement.
    """

    ANSWERS: dict[str, Any] = {
        "_cuda_emptyCache": None,
        "_cuda_getCurrentStream": (1, 0, 1),
        "_cuda_getDefaultStream": (0, 0, 1),
        "_cuda_getDevice": 0,
        "_cuda_getDeviceCount": 1,
        "_cuda_getMemoryFraction": 0.25,
        "_cuda_isCurrentStreamCapturing": False,
        "_cuda_memoryStats": {
            "allocated_bytes": {"all": {"current": 1, "peak": 2}},
            "reserved_bytes": {"all": {"current": 3, "peak": 4}},
        },
        "_cuda_resetPeakMemoryStats": None,
        "_cuda_setMemoryFraction": None,
        "_cuda_setStream": None,
        "_cuda_synchronize": None,
    }

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.replace = monkeypatch.setattr
        for name, answer in self.ANSWERS.items():
            self.answer(name, answer)
        # What `torch._C._cuda_init` leaves behind.
        self.replace(torch.cuda, "_initialized", True)
        self.replace(torch.cuda, "_cached_device_count", 1)
        for name in ("_exchange_device", "_maybe_exchange_device"):  # imported from `torch._C`
            self.replace(torch.cuda, name, lambda device: device)
        self.replace(torch.cuda, "default_generators", (torch.Generator(),))

    def answer(self, name: str, value: Any) -> None:
        """Sets what a function of the driver returns."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, *args, *kwargs.values()))
            return value

        self.replace(torch._C, name, call, raising=False)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(monkeypatch)


def contract(*names: str) -> Callable[[Callable[[Driver], None]], Callable[[Driver], None]]:
    """Registers a check for names of torch's."""

    def register(check: Callable[[Driver], None]) -> Callable[[Driver], None]:
        CHECKS.update(dict.fromkeys(names, check))
        return check

    return register


NO_DRIVER = re.compile(r"driver|Backend doesn't support create a new Stream")
"""Message of torch's C++ code without a GPU; the second after the compiler has been used."""


def reach_driver(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Calls C++ code; without a GPU, only the missing driver may stop it."""
    try:
        call(*args, **kwargs)
    except RuntimeError as error:
        if not HAS_GPU and not NO_DRIVER.search(str(error)):
            raise


# ------------------------------------------------------------------------------ the device


@contract("torch.cuda.is_available", "torch.cuda.device_count", "torch.cuda.current_device")
def _(driver: Driver) -> None:
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() == 1
    assert torch.cuda.current_device() == 0


@contract("torch.cuda.get_device_name")
def _(driver: Driver) -> None:
    properties = type("Properties", (), {"name": "a GPU"})
    driver.replace(torch.cuda, "_get_device_properties", lambda _: properties, raising=False)
    assert torch.cuda.get_device_name(GPU) == "a GPU"


@contract("torch.cuda.synchronize")
def _(driver: Driver) -> None:
    torch.cuda.synchronize(GPU)
    assert ("_cuda_synchronize",) in driver.calls


# ------------------------------------------------------------------------------ memory


@contract("torch.cuda.set_per_process_memory_fraction")
def _(driver: Driver) -> None:
    torch.cuda.set_per_process_memory_fraction(0.25, GPU)
    assert driver.calls == [("_cuda_setMemoryFraction", 0.25, 0)]
    with pytest.raises(ValueError, match="specified index"):
        torch.cuda.set_per_process_memory_fraction(0.25, torch.device("cuda"))


@contract("torch.cuda.reset_peak_memory_stats", "torch.cuda.empty_cache")
def _(driver: Driver) -> None:
    torch.cuda.reset_peak_memory_stats(GPU)
    torch.cuda.empty_cache()
    assert driver.calls == [("_cuda_resetPeakMemoryStats", 0), ("_cuda_emptyCache",)]


@contract(
    "torch.cuda.memory_allocated",
    "torch.cuda.max_memory_allocated",
    "torch.cuda.memory_reserved",
    "torch.cuda.max_memory_reserved",
)
def _(driver: Driver) -> None:
    assert torch.cuda.memory_allocated(GPU) == 1
    assert torch.cuda.max_memory_allocated(GPU) == 2
    assert torch.cuda.memory_reserved(GPU) == 3
    assert torch.cuda.max_memory_reserved(GPU) == 4
    assert set(driver.calls) == {("_cuda_memoryStats", 0)}


@contract("torch.cuda.mem_get_info", "torch.cuda.get_per_process_memory_fraction")
def _(driver: Driver) -> None:
    runtime = type("Runtime", (), {"cudaMemGetInfo": lambda device: {0: (5, 6)}[device]})
    driver.replace(torch.cuda, "_cudart", runtime)
    assert torch.cuda.mem_get_info(GPU) == (5, 6)
    assert torch.cuda.get_per_process_memory_fraction(GPU) == 0.25


@contract("torch.cuda.OutOfMemoryError")
def _(driver: Driver) -> None:
    assert issubclass(torch.cuda.OutOfMemoryError, RuntimeError)


# ------------------------------------------------------------------------------ streams, events


@contract("torch.cuda.current_stream", "torch.cuda.default_stream")
def _(driver: Driver) -> None:
    reach_driver(torch.cuda.current_stream, GPU)
    reach_driver(torch.cuda.default_stream, GPU)
    assert driver.calls == [("_cuda_getCurrentStream", 0), ("_cuda_getDefaultStream", 0)]


@contract("torch.cuda.Stream", "torch.Stream")
def _(driver: Driver) -> None:
    assert issubclass(torch.cuda.Stream, torch.Stream)
    reach_driver(torch.cuda.Stream, GPU)
    reach_driver(torch.Stream, GPU)
    assert {"synchronize", "wait_stream"} <= set(dir(torch.Stream))


@contract("torch.cuda.set_stream", "torch.cuda.stream")
def _(driver: Driver) -> None:
    """Both take a `torch.Stream`; there is one without a GPU on the CPU only."""
    stream = torch.Stream("cpu")
    torch.cuda.set_stream(stream)  # type: ignore[arg-type]
    assert driver.calls == [
        ("_cuda_setStream", stream.stream_id, stream.device_index, stream.device_type)
    ]
    reach_driver(torch.cuda.stream(stream).__enter__)  # type: ignore[arg-type]
    assert driver.calls[-1] == ("_cuda_getCurrentStream", 0)


@contract("torch.Event")
def _(driver: Driver) -> None:
    event = torch.Event(GPU)
    assert event.query()
    event.synchronize()
    reach_driver(event.record)
    reach_driver(event.wait)
    assert issubclass(torch.cuda.Event, torch.Event)


@contract("torch.cuda.Event")
def _(driver: Driver) -> None:
    event = torch.cuda.Event(blocking=True)
    assert event.query()
    event.synchronize()
    reach_driver(event.record)
    assert ("_cuda_getCurrentStream", 0) in driver.calls


# ------------------------------------------------------------------------------ recording


@contract("torch.cuda.graph")
def _(driver: Driver) -> None:
    """It waits, empties the cache, which a failed recording can break, and then starts."""
    begun = []

    class Graph:
        def capture_begin(self, *args: Any, **kwargs: Any) -> None:
            begun.append((args, kwargs))

    driver.answer("_cuda_getDevice", -1)  # then torch does not change streams
    driver.replace(torch.cuda.graph, "default_capture_stream", torch.Stream("cpu"))
    recording = torch.cuda.graph(
        Graph(),  # type: ignore[arg-type]
        pool=(0, 7),  # type: ignore[arg-type]
        stream=torch.Stream("cpu"),  # type: ignore[arg-type]
        capture_error_mode="thread_local",
    )
    reach_driver(recording.__enter__)
    assert {"_cuda_synchronize", "_cuda_emptyCache"} <= {call[0] for call in driver.calls}
    ((args, kwargs),) = begun
    assert args == ((0, 7),)
    assert kwargs["capture_error_mode"] == "thread_local"


@contract("torch.cuda.CUDAGraph")
def _(driver: Driver) -> None:
    reach_driver(torch.cuda.CUDAGraph)
    assert {"capture_begin", "capture_end", "replay", "reset"} <= set(dir(torch.cuda.CUDAGraph))
    modes = torch.cuda.CUDAGraph.capture_begin.__doc__ or ""
    assert all(mode in modes for mode in CAPTURE_MODES)


@contract("torch.cuda.is_current_stream_capturing")
def _(driver: Driver) -> None:
    driver.replace(torch.cuda.graphs, "_cuda_isCurrentStreamCapturing", lambda: True)
    assert torch.cuda.is_current_stream_capturing()


@contract(
    "torch.cuda.graph_pool_handle",
    "torch._C",  # for one of the two names below
    "torch._C._cuda_releasePool",
)
def _(driver: Driver) -> None:
    pool = torch.cuda.graph_pool_handle()
    names = ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool")
    (end,) = (getattr(torch._C, name) for name in names if hasattr(torch._C, name))
    for call in (end, torch._C._cuda_releasePool):
        with pytest.raises(RuntimeError):  # not in use, and no TypeError
            call(0, pool)


@contract("torch.cuda.get_sync_debug_mode", "torch.cuda.set_sync_debug_mode")
def _(driver: Driver) -> None:
    before = torch.cuda.get_sync_debug_mode()
    try:
        torch.cuda.set_sync_debug_mode("warn")
        assert torch.cuda.get_sync_debug_mode() == 1
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert torch.cuda.get_sync_debug_mode() == before


# ------------------------------------------------------------------------------ random numbers


@contract("torch.cuda.get_rng_state", "torch.cuda.set_rng_state", "torch.cuda.default_generators")
def _(driver: Driver) -> None:
    (generator,) = torch.cuda.default_generators
    state = torch.cuda.get_rng_state(GPU)
    expected = torch.rand(3, generator=generator)
    torch.cuda.set_rng_state(state, GPU)
    assert torch.equal(torch.rand(3, generator=generator), expected)


@contract("clone_state", "graphsafe_get_state", "graphsafe_set_state")
def _(driver: Driver) -> None:
    """The last two are a GPU generator's, which refuses the CPU's after looking at the type."""
    generator = torch.Generator().manual_seed(1)
    twin = generator.clone_state()
    assert torch.equal(torch.rand(3, generator=twin), torch.rand(3, generator=generator))
    with pytest.raises(NotImplementedError):
        generator.graphsafe_get_state()
    with pytest.raises(NotImplementedError):
        generator.graphsafe_set_state(twin)
    with pytest.raises(TypeError, match="expected a Generator"):
        generator.graphsafe_set_state(generator.get_state())  # type: ignore[arg-type]


@contract("torch.Generator")
def _(driver: Driver) -> None:
    assert torch.Generator(CPU).manual_seed(1).initial_seed() == 1
    reach_driver(torch.Generator, GPU)


# ------------------------------------------------------------------------------ arithmetic


@contract("torch._foreach_add_")
def _(driver: Driver) -> None:
    counters = [torch.tensor(value) for value in (1, 5)]
    torch._foreach_add_(counters, 1)
    assert [int(counter) for counter in counters] == [2, 6]


@contract("torch._foreach_copy_")
def _(driver: Driver) -> None:
    """It rounds as `.to` does, in both directions."""
    singles = [torch.randn(3), torch.randn(2, 2)]
    halves = [torch.empty_like(single, dtype=torch.bfloat16) for single in singles]
    torch._foreach_copy_(halves, singles)
    assert all(
        torch.equal(half, single.bfloat16()) for half, single in zip(halves, singles, strict=True)
    )
    torch._foreach_copy_(singles, halves)
    assert all(
        torch.equal(half.float(), single) for half, single in zip(halves, singles, strict=True)
    )


@contract("torch._foreach_lerp_")
def _(driver: Driver) -> None:
    averages, values = [torch.zeros(3), torch.ones(2, 2)], [torch.ones(3), torch.zeros(2, 2)]
    torch._foreach_lerp_(averages, values, 0.25)
    assert torch.equal(averages[0], torch.full((3,), 0.25))
    assert torch.equal(averages[1], torch.full((2, 2), 0.75))


@contract("torch.amp.GradScaler")
def _(driver: Driver) -> None:
    """A load keeps the scale's address, which a recorded step reads."""
    assert torch.amp.GradScaler("cuda").is_enabled()
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    scaler.scale(torch.ones(()))
    scale = scaler._scale
    scaler.load_state_dict({**scaler.state_dict(), "scale": 8.0})
    assert scaler._scale is scale
    assert scale is not None
    assert float(scale) == scaler.get_scale() == 8


@contract("torch.backends.cudnn.benchmark", "torch.backends.cudnn.deterministic")
def _(driver: Driver) -> None:
    for name in ("benchmark", "deterministic"):
        before = getattr(torch.backends.cudnn, name)
        setattr(torch.backends.cudnn, name, not before)
        assert getattr(torch.backends.cudnn, name) is not before
        setattr(torch.backends.cudnn, name, before)


# ------------------------------------------------------------------------------ the compiler


@contract("torch._dynamo.config")
def _(driver: Driver) -> None:
    from torch._dynamo import config

    assert hasattr(config, "recompile_limit") or hasattr(config, "cache_size_limit")
    assert hasattr(config, "fail_on_recompile_limit_hit") or hasattr(
        config, "fail_on_cache_limit_hit"
    )


@contract("torch._dynamo.exc.FailOnRecompileLimitHit", "torch._dynamo.exc.TorchDynamoException")
def _(driver: Driver) -> None:
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    assert issubclass(FailOnRecompileLimitHit, Exception)
    assert issubclass(TorchDynamoException, RuntimeError)


# ------------------------------------------------------------------------------ the tests


@needs_cuda_build
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_torch_takes_the_call(driver: Driver, name: str) -> None:
    CHECKS[name](driver)


def test_every_name_in_use_has_a_check() -> None:
    used = {name for file in _users("|".join(["torch", *METHODS])) for name in _names(nodes(file))}
    assert used - CHECKS.keys() == set(), "without a check"
    assert CHECKS.keys() - used == set(), "no longer used"


def test_every_call_fits_torchs_signature() -> None:
    bound = 0
    for file in _users(r"torch\.cuda"):
        for call in nodes(file):
            if not isinstance(call, ast.Call) or not _is_cuda_call(call):
                continue
            arguments = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            function = eval(ast.unparse(call.func), {"torch": torch})
            inspect.signature(function).bind(*call.args, **arguments)
            mode = arguments.get("capture_error_mode")
            if mode is not None:
                assert ast.literal_eval(mode) in CAPTURE_MODES
            bound += 1
    assert bound > 20


def _users(pattern: str) -> list[Path]:
    """Lists the product's files whose text has a pattern."""
    return [f for f in sources("sweeps", "trainable") if re.search(pattern, f.read_text("utf-8"))]


def _is_cuda_call(call: ast.Call) -> bool:
    """Returns whether it calls a function or class of `torch.cuda` that is written in Python."""
    if not isinstance(call.func, ast.Attribute):
        return False
    name = ast.unparse(call.func)
    in_cpp = {"torch.cuda.Stream", "torch.cuda.Event", "torch.cuda.CUDAGraph"}
    return re.fullmatch(r"torch\.cuda\.\w+", name) is not None and name not in in_cpp


def _names(tree: Sequence[ast.AST]) -> Iterator[str]:
    """Yields the dotted names of torch's that need a check; `getattr` with a string counts too."""
    inner = {id(node.value) for node in tree if isinstance(node, ast.Attribute)}
    for node in tree:
        name = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            if node.func.id in {"getattr", "hasattr", "setattr"}:
                owner, attribute = node.args[:2]
                inner.add(id(owner))
                name = f"{ast.unparse(owner)}.{getattr(attribute, 'value', '?')}"
        elif isinstance(node, ast.Attribute) and id(node) not in inner:
            name = ast.unparse(node)
            if node.attr in METHODS:
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if f"{node.module}.{alias.name}".startswith(NAMESPACES):
                    yield f"{node.module}.{alias.name}"
        if name is not None and name.startswith(NAMESPACES) and DOTTED.fullmatch(name):
            yield name


@pytest.mark.parametrize("share", [0.25, 1, 2])
def test_a_share_of_a_gpu_is_a_limit_of_its_memory(driver: Driver, share: float) -> None:
    assert limited_device(share) == GPU
    assert ("_cuda_setMemoryFraction", min(share, 1.0), 0) in driver.calls


def test_no_share_of_a_gpu_is_the_cpu(driver: Driver) -> None:
    assert limited_device(0) == CPU
    assert driver.calls == []
