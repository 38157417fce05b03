"""The GPU checks, on recorded outputs of `nvidia-smi` and with a program of that name."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.doctor import gpus
from sweeps.doctor.check import Check
from sweeps.doctor.gpus import (
    TorchView,
    check_gpus,
    judge_gpus,
    judge_torch,
    parse_gpus,
    parse_processes,
    parse_view,
)
from sweeps.terminal import programs

H100 = "NVIDIA H100 80GB HBM3, 81559"
FREE, USED = "GPU-2f5c8a1e-0d6b-4f0e-9a53-7f6a2f1c9e01", "GPU-8b1d77c4-93ce-4b2f-8f0a-1c1a5b0d2f02"
TWO_GPUS = f"""\
0, {FREE}, {H100}, 4, 570.124.06, 9.0, Default, Disabled
1, {USED}, {H100}, 40512, 570.124.06, 9.0, Exclusive_Process, Enabled
"""
OLD_GPU = (
    "0, GPU-11111111-2222-3333-4444-555555555555, Tesla K80, 11441, 0, 470.223.02, 3.7, "
    "Default, [N/A]\n"
)
PROCESSES = f"""\
{USED}, 4117, /opt/a, b/bin/python3, 40480
{USED}, 4200, [Not Found], [N/A]
"""
CUDA_13 = {"__version__": "2.14.1+cu130", "cuda": "13.0"}
CUDA_12 = {"__version__": "2.8.0+cu128", "cuda": "12.8"}
HOPPER = TorchView(2, ("sm_80", "sm_90", "compute_90"))


def warnings(checks: list[Check]) -> list[str]:
    assert {check.state for check in checks} <= {"ok", "warning"}
    assert all(check.remedy for check in checks if check.state == "warning")
    return [check.found for check in checks if check.state == "warning"]


def test_an_output_is_read() -> None:
    first, second = parse_gpus(TWO_GPUS)
    assert (first.index, first.name, first.total_mib, first.used_mib) == (
        *("0", "NVIDIA H100 80GB HBM3"),
        *(81559, 4),
    )
    assert (second.driver, second.capability, second.mig) == ("570.124.06", "9.0", "Enabled")
    assert parse_gpus("No devices were found\n") == []
    assert parse_gpus("") == []
    used, unknown = parse_processes(PROCESSES)
    assert (used.pid, used.name, used.used_mib) == ("4117", "/opt/a,b/bin/python3", 40480)
    assert (unknown.name, unknown.used_mib) == ("[Not Found]", 0)
    assert parse_view('a warning\n[1, ["sm_90"]]') == TorchView(1, ("sm_90",))
    assert parse_view("Traceback") is None
    assert parse_view("") is None


def test_what_else_uses_a_gpu_and_its_modes_are_said() -> None:
    checks = list(judge_gpus(parse_gpus(TWO_GPUS), parse_processes(PROCESSES), None))
    assert checks[0].found == (
        "0: NVIDIA H100 80GB HBM3, 79.6 GiB; 1: NVIDIA H100 80GB HBM3, 79.6 GiB; driver 570.124.06"
    )
    assert warnings(checks) == [
        "GPU 1 is also used by /opt/a,b/bin/python3 (process 4117, 39.5 GiB), "
        "[Not Found] (process 4200, 0 B)",
        "GPU 1 takes one process only (Exclusive_Process)",
    ]
    assert checks[-1].found == "GPU 1 is divided (MIG): a trial sees one of its parts"
    # A container does not see the processes of others, but their memory.
    in_container = list(judge_gpus(parse_gpus(TWO_GPUS), [], None))
    assert warnings(in_container)[0] == "39.6 GiB of GPU 1 are in use"


@pytest.mark.parametrize(
    ("visible", "hides"), [(None, False), ("0,1", False), ("", True), ("-1", True)]
)
def test_gpus_that_trials_do_not_see_are_a_warning(visible: str | None, hides: bool) -> None:
    (gpu, _) = parse_gpus(TWO_GPUS)
    assert bool(warnings(list(judge_gpus([gpu], [], visible)))) == hides


@pytest.mark.parametrize(
    ("build", "listed", "view", "expected"),
    [
        (CUDA_12, TWO_GPUS, HOPPER, None),
        (CUDA_12, TWO_GPUS, None, "it does not say which GPUs it sees"),
        ({"__version__": "2.8.0+cpu"}, TWO_GPUS, None, "trials train on the CPU, although there"),
        ({"__version__": "2.8.0", "hip": "6.3"}, TWO_GPUS, None, None),
        ({}, TWO_GPUS, None, "not installed: trials train on the CPU"),
        (CUDA_13, TWO_GPUS, HOPPER, "needs driver 580 or newer; it is 570.124.06"),
        (CUDA_12, OLD_GPU, HOPPER, "needs driver 525 or newer; it is 470.223.02"),
        (CUDA_12, TWO_GPUS, TorchView(0, ("sm_90",)), "torch sees no GPU"),
        (CUDA_12, TWO_GPUS, TorchView(2, ("sm_50", "sm_80")), "no code for GPU 0 (capability 9.0"),
        (CUDA_12, TWO_GPUS, TorchView(2, ("sm_80", "compute_80")), None),
        (CUDA_12, TWO_GPUS, TorchView(2, ("sm_90a",)), None),
        (CUDA_12, TWO_GPUS, TorchView(2, ("sm_100", "sm_120")), "no code for GPU 0"),
        (CUDA_12, TWO_GPUS, TorchView(2, ()), None),
    ],
)
def test_a_torch_that_cannot_use_the_gpus_is_a_warning(
    build: dict[str, str], listed: str, view: TorchView | None, expected: str | None
) -> None:
    results = warnings(list(judge_torch(parse_gpus(listed), build, view, None)))
    if expected is None:
        assert results == []
    else:
        assert expected in results[0]


def test_an_older_gpu_runs_the_code_of_its_generation_only() -> None:
    (gpu,) = parse_gpus(OLD_GPU)
    newer = replace(gpu, capability="8.6", driver="570.1")
    ampere = TorchView(1, ("sm_80",))
    assert warnings(list(judge_torch([newer], CUDA_12, ampere, None))) == []
    older = replace(gpu, capability="8.0", driver="570.1")
    assert warnings(list(judge_torch([older], CUDA_12, TorchView(1, ("sm_86",)), None)))


def test_nvidia_smi_is_called_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next(check_gpus()).found.startswith("none, or no nvidia-smi")
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\ncase $1 in --query-gpu=*) echo '{OLD_GPU.strip()}';;\n"
        "*) echo 'GPU-11111111-2222-3333-4444-555555555555, 7, python, 100';; esac\n"
    )
    program.chmod(0o755)
    assert os.access(program, os.X_OK)
    monkeypatch.setattr(gpus, "read_torch_build", lambda: {"__version__": "2.8.0"})
    limits: list[float] = []

    def read_output(*command: str, timeout_s: float) -> str:
        limits.append(timeout_s)
        return programs.read_output(*command, timeout_s=timeout_s)

    monkeypatch.setattr(gpus, "read_output", read_output)
    states = [(check.name, check.state) for check in check_gpus()]
    assert states == [("GPUs", "ok"), ("GPUs", "warning"), ("torch", "warning")]
    monkeypatch.setattr(gpus, "read_torch_build", lambda: CUDA_12)
    monkeypatch.setattr(gpus, "TORCH_VIEW", "print('[1, []]')")
    *_, last = check_gpus()
    assert last.found.endswith("needs driver 525 or newer; it is 470.223.02")
    assert limits == [20, 20, 20, 20, 60]


def test_an_nvidia_smi_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check = next(check_gpus())
    assert (check.state, check.remedy) == ("warning", "nvidia-smi shows why")
    assert check.found == "nvidia-smi lists no GPU, or failed: trials train on the CPU"
