"""`resources.gpu: auto`: the decision is a function of measurements, here from a table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.resume import merge_edited
from sweeps.planning.gpu_sharing import SharingDecision, decide_sharing, resolve_gpu
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from tests.integration.sweeping import CONFIG
from trainable.config import TrainConfig, parse_config
from trainable.config.yaml_reader import dump_yaml
from trainable.errors import ExperimentError
from trainable.profiling.concurrent import ConcurrencyResult, train_concurrently

GPU_GIB = 80.0
ONE_GPU = {"CPU": 16.0, "GPU": 1.0}


def table(
    gib: float, rates: dict[int, float | None]
) -> tuple[ConcurrencyResult, Callable[[int], ConcurrencyResult | None], list[int]]:
    """Returns the result of one copy, the function that measures more, and the list it fills."""
    measured: list[int] = []

    def measure(copies: int) -> ConcurrencyResult | None:
        measured.append(copies)
        rate = rates[copies]
        return None if rate is None else ConcurrencyResult(copies, rate, gib, GPU_GIB)

    return ConcurrencyResult(1, float(rates[1] or 0), gib, GPU_GIB), measure, measured


@pytest.mark.parametrize(
    ("gib", "rates", "most", "copies", "expected", "reason"),
    [
        (2, {1: 100, 2: 190, 4: 300, 8: 400}, 99, 8, [2, 4, 8], "more were not tried"),
        (2, {1: 100, 2: 190, 4: 300, 8: 310}, 99, 4, [2, 4, 8], "8 only 310"),
        (2, {1: 100, 2: 105}, 99, 1, [2], "2 only 105"),
        (2, {1: 100, 2: 80}, 99, 1, [2], "2 only 80"),
        (2, {1: 100, 2: 190, 4: 205}, 99, 2, [2, 4], "4 only 205"),
        (15, {1: 100, 2: 190, 4: 300}, 99, 4, [2, 4], "8 would not fit into its memory"),
        (38, {1: 100}, 99, 1, [], "2 would not fit into its memory"),
        (5, {1: 100, 2: 190, 4: None}, 99, 2, [2, 4], "4 did not fit into its memory"),
        (5, {1: 100, 2: None}, 99, 1, [2], "2 did not fit into its memory"),
        (2, {1: 100, 2: 190}, 3, 2, [2], "at most 3 can run on one"),
        (2, {1: 100}, 1, 1, [], "at most 1 can run on one"),
    ],
)
def test_trials_share_a_gpu_while_they_fit_and_train_more_in_all(
    gib: float,
    rates: dict[int, float | None],
    most: int,
    copies: int,
    expected: list[int],
    reason: str,
) -> None:
    alone, measure, measured = table(gib, rates)
    decision = decide_sharing(alone, measure, most)
    assert (decision.copies, measured, decision.reason) == (copies, expected, reason)


def test_the_printed_sentence_has_the_numbers() -> None:
    alone, measure, _ = table(9.5, {1: 1000, 2: 1900, 4: 2600})
    assert decide_sharing(alone, measure, 99).describe() == (
        "resources.gpu auto is 0.25: alone on a GPU, a trial trains 1000 images/s and takes 9.5 "
        "of 80.0 GiB; 4 train 2600 images/s in all; 8 would not fit into its memory"
    )
    assert SharingDecision(1, "why").describe() == "resources.gpu auto is 1: why"


def auto(**sections: Any) -> SearchSpec:
    data = {
        "config": CONFIG,
        "space": {"training.batch_size": {"choice": [64, 128, 256]}},
        "tune": {"num_samples": 20, "seed": 1},
        "resources": {"cpu": 2, "gpu": "auto"},
    }
    return parse_search({**data, **sections})


def gpu_of(spec: SearchSpec, machines: list[dict[str, float]], **rates: Any) -> tuple[Any, list]:
    """Resolves `auto` if memory grows with the batch; also returns (batch, copies) pairs."""
    trained: list[tuple[int, int]] = []

    def measure(config: TrainConfig, copies: int) -> ConcurrencyResult | None:
        batch = config.training.batch_size
        trained.append((batch, copies))
        return ConcurrencyResult(copies, 100.0 * copies, batch / 16, GPU_GIB)

    resolved, _ = resolve_gpu(spec, machines, measure)
    assert parse_search(resolved.to_dict()) == resolved
    return resolved.resources.gpu, trained


def test_sharing_is_measured_with_the_draw_that_takes_most_memory() -> None:
    gpu, trained = gpu_of(auto(), [ONE_GPU])
    assert gpu == 0.25
    alone = {batch for batch, copies in trained if copies == 1}
    assert alone == {64, 128, 256}
    assert [pair for pair in trained if pair[1] > 1] == [(256, 2), (256, 4)]


@pytest.mark.parametrize(
    ("machines", "tune", "gpu"),
    [
        ([{"CPU": 4.0, "GPU": 1.0}], {}, 0.5),  # two trials by their CPUs
        ([{"CPU": 16.0, "GPU": 8.0}], {}, 1),
        ([ONE_GPU], {"max_concurrent_trials": 2}, 0.5),
        ([ONE_GPU], {"num_samples": 3}, 0.5),
        ([{"CPU": 64.0}, {"CPU": 4.0, "GPU": 1.0}], {}, 0.5),
    ],
)
def test_no_more_trials_share_a_gpu_than_run_concurrently(
    machines: list[dict[str, float]], tune: dict[str, Any], gpu: float
) -> None:
    spec = auto(tune={"num_samples": 20, "seed": 1, **tune})
    assert gpu_of(spec, machines)[0] == gpu


def test_a_draw_that_fills_a_gpu_gets_one() -> None:
    resolved, text = resolve_gpu(auto(), [ONE_GPU], lambda config, copies: None)
    assert resolved.resources.gpu == 1
    assert text == "resources.gpu auto is 1: draw 0 fills a GPU's memory alone"


def never(config: TrainConfig, copies: int) -> ConcurrencyResult | None:
    raise AssertionError("measured without need")


def test_without_a_gpu_auto_is_0_and_says_so() -> None:
    resolved, text = resolve_gpu(auto(), [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 0.0}], never)
    assert resolved.resources.gpu == 0
    assert text == "resources.gpu auto is 0: there is no GPU"


def test_a_number_is_not_changed() -> None:
    spec = auto(resources={"gpu": 0.3})
    assert resolve_gpu(spec, [ONE_GPU], never) == (spec, None)


def test_the_resolved_number_stays_when_the_same_file_is_given_again(tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(dump_yaml({**auto().to_dict(), "resources": {"cpu": 1, "gpu": "auto"}}))
    recorded = auto(resources={"cpu": 2, "gpu": 0.125})
    again = merge_edited(recorded, file, tmp_path)
    assert (again.resources.cpu, again.resources.gpu) == (1, 0.125)


def together(copies: int, model: str = "tiny_models:mlp") -> ConcurrencyResult | None:
    config = parse_config({**CONFIG, "model": {"name": model}})
    return train_concurrently(
        config, copies, gpu=0, threads=1, allow_custom_model=True, seconds=0.2
    )


@pytest.mark.slow
def test_copies_are_trained_concurrently() -> None:
    result = together(2)
    assert result is not None
    assert result.copies == 2
    assert result.images_per_s > 0


@pytest.mark.slow
def test_out_of_memory_is_distinguished_from_other_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING_MODELS_MARKS", str(tmp_path))
    assert together(1, "failing_models:out_of_memory") is None
    assert together(2, "failing_models:out_of_memory") is None
    with pytest.raises(ExperimentError, match=r"always_raises cannot be measured: \w+Error: "):
        together(1, "failing_models:always_raises")
