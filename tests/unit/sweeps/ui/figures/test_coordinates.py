"""Parallel coordinates, and the trials that a brush selects."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.ui.figures.base import pack
from sweeps.ui.figures.coordinates import (
    MISSING,
    Axis,
    add_brush,
    build_axes,
    category_text,
    parallel_coordinates,
    selected_trials,
)
from tests.support.fake_sweeps import FakeSweep
from tests.support.figure_data import unpack

RATE, NAME, MOMENTUM, BATCH = (
    *("optimizer.learning_rate", "optimizer.name", "optimizer.momentum"),
    "training.batch_size",
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> LoadedSweep:
    directory = tmp_path_factory.mktemp("coordinates") / "sweep"
    return load(FakeSweep(directory, trials=30, states={4: "pending"}).write())


def axis_of(sweep: LoadedSweep, key: str) -> Axis:
    return next(axis for axis in build_axes(sweep) if axis.key == key)


def test_a_logarithmic_parameter_has_powers_of_ten(sweep: LoadedSweep) -> None:
    axis = axis_of(sweep, RATE)
    assert axis.position(0.01) == -2
    ticks = {text: place for place, text in axis.ticks() if text.strip()}
    assert ticks["0.01"] == -2
    assert list(ticks.values()) == sorted(ticks.values())
    texts = [text for _, text in axis.ticks()]
    assert len(set(texts)) == len(texts)  # Plotly tells ticks apart by their texts
    assert len(texts) > 50  # a brush snaps to ticks


def test_a_choice_has_its_options_in_order_and_a_missing_value_its_own_place(
    sweep: LoadedSweep,
) -> None:
    assert axis_of(sweep, NAME).ticks() == [(0, "sgd"), (1, "adamw")]
    assert [text for _, text in axis_of(sweep, BATCH).ticks()] == ["32", "64", "128"]
    momentum = axis_of(sweep, MOMENTUM)
    place, text = momentum.ticks()[0]
    assert (text, place) == (MISSING, momentum.position(None))
    assert place < momentum.low
    assert math.isnan(axis_of(sweep, RATE).position(None))


def test_a_whole_number_is_one_category_as_integer_and_as_float(sweep: LoadedSweep) -> None:
    axis = axis_of(sweep, BATCH)
    assert axis.position(128.0) == axis.position(128) == 2
    assert (category_text(128.0), category_text(0.5), category_text("a")) == ("128", "0.5", "a")


def test_the_figure_has_one_value_per_trial_with_a_result(sweep: LoadedSweep) -> None:
    axes = build_axes(sweep)
    assert [axis.key for axis in axes] == [NAME, RATE, BATCH, MOMENTUM, "val_acc"]
    figure = parallel_coordinates(sweep, axes, {BATCH: [[0, 1]]}).figure
    assert figure is not None
    trials = [result for result in sweep.results if result.best is not None]
    by_label = {d["label"]: d for d in figure["data"][0]["dimensions"]}
    rates = [round(math.log10(result.values[RATE]), 5) for result in trials]
    assert unpack(by_label[RATE]["values"]) == pytest.approx(rates, abs=1e-5)
    scores = unpack(figure["data"][0]["line"]["color"])
    assert scores == unpack(pack([(result.best or {})["val_acc"] for result in trials]))
    assert "tickvals" not in by_label["val_acc"]  # Plotly's own, between which a brush may end
    assert by_label[BATCH]["constraintrange"] == [[0, 1]]
    json.dumps(figure, allow_nan=False)


def test_a_brush_selects_the_trials_inside_of_every_range(sweep: LoadedSweep) -> None:
    axes = [Axis.from_json(json.loads(json.dumps(axis.to_json()))) for axis in build_axes(sweep)]
    assert axes == build_axes(sweep)

    def ids(condition: Any) -> set[str]:
        trials = [r for r in sweep.results if r.best is not None]
        return {r.record.id for r in trials if condition(r.values)}

    brushes = add_brush({}, [{"dimensions[1].constraintrange": [-3.0, -1.0]}, [0]], axes)
    selected = selected_trials(sweep, axes, brushes)
    assert set(selected) == ids(lambda values: 1e-3 <= values[RATE] <= 0.1)
    order = [result.record.id for result in sweep.results]
    assert selected == sorted(selected, key=order.index)

    momentum = axis_of(sweep, MOMENTUM)
    bottom = [[momentum.range[0] - 0.01, momentum.range[0] + 0.01]]
    change = {"dimensions[3].constraintrange": [bottom, [[0.9, 0.95]]]}
    brushes = add_brush(brushes, [change, [0]], axes)
    expected = ids(
        lambda values: (
            1e-3 <= values[RATE] <= 0.1
            and (MOMENTUM not in values or 0.9 <= values[MOMENTUM] <= 0.95)
        )
    )
    assert set(selected_trials(sweep, axes, brushes)) == expected
    assert 0 < len(expected) < len(selected)

    brushes = add_brush(brushes, [{"dimensions[1].constraintrange": None}, [0]], axes)
    assert list(brushes) == [MOMENTUM]
    brushes = add_brush(brushes, [{"dimensions[3].constraintrange": None}, [0]], axes)
    assert selected_trials(sweep, axes, brushes) == []


@pytest.mark.parametrize(
    "restyled",
    [
        None,
        [],
        [None],
        [{"visible": [True]}, [0]],
        [{"dimensions[99].constraintrange": [0, 1]}, [0]],
        [{"dimensions[0].constraintrange": ["x", {}]}, [0]],
        [{"dimensions[0].constraintrange": [1]}, [0]],
    ],
)
def test_other_changes_brush_nothing(sweep: LoadedSweep, restyled: Any) -> None:
    assert add_brush({}, restyled, build_axes(sweep)) == {}


def test_names_in_values_are_no_markup(tmp_path: Path) -> None:
    space = {"optimizer.name": {"choice": ["sgd", "adamw"]}}
    sweep = load(FakeSweep(tmp_path / "sweep", trials=6, space=space).write())
    axis = Axis("<i>k", 0.0, 1.0, categories=("<b>x</b>", "sgd"))
    figure = parallel_coordinates(sweep, [axis, *build_axes(sweep)[1:]], {}).figure
    assert figure is not None
    dimension = figure["data"][0]["dimensions"][0]
    assert (dimension["label"], dimension["ticktext"][0]) == (
        "&lt;i&gt;k",
        "&lt;b&gt;x&lt;/b&gt;",
    )


def test_one_trial_or_equal_values_are_no_coordinates(tmp_path: Path) -> None:
    space = {"optimizer.learning_rate": {"loguniform": [1e-4, 1.0]}}
    one = load(FakeSweep(tmp_path / "one", trials=1, space=space).write())
    assert parallel_coordinates(one, build_axes(one), {}).figure is None
    equal = load(FakeSweep(tmp_path / "equal", trials=3, space=space, tune={"repeats": 3}).write())
    assert [axis.key for axis in build_axes(equal)] == ["val_acc"]
    chart = parallel_coordinates(equal, build_axes(equal), {})
    assert (chart.figure, chart.note) == (None, "All trials have the same values.")
