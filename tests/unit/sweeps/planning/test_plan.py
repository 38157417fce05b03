"""`sweep plan`: what it says of a sweep, and the configs that it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.cluster.placement import places, this_machine
from sweeps.planning.cost import ProbedDraw, forecast, probe
from sweeps.planning.plan import make_plan
from sweeps.search.searcher import Searcher
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from trainable.config import load_config, parse_config
from trainable.profiling.cost import TrainingCost

TWO_CPUS = {"CPU": 2.0, "GPU": 0.0}
TWO_GPUS = {"CPU": 16.0, "GPU": 2.0}

MakeSpec = Callable[..., SearchSpec]


@pytest.fixture
def make_spec(tiny_data: Callable[..., dict[str, Any]], working_directory: Path) -> MakeSpec:
    """A search over the tiny config; keys of `tune`, and other sections, replaced."""

    def make(sections: dict[str, Any] | None = None, **tune: Any) -> SearchSpec:
        space = {
            "optimizer.learning_rate": {"loguniform": [0.001, 1.0]},
            "training.batch_size": {"choice": [128, 256]},
        }
        data = {
            "config": tiny_data(checkpoint={"enabled": True, "save_frequency": 2}),
            "space": space,
            "tune": {"num_samples": 6, "seed": 3, **tune},
        }
        return parse_search({**data, **(sections or {})})

    return make


@pytest.fixture
def search_file(make_spec: MakeSpec, working_directory: Path) -> Path:
    path = working_directory / "search.yaml"
    path.write_text(yaml.safe_dump(make_spec().to_dict()), encoding="utf-8")
    return path


def run_plan(search_file: Path, *options: str) -> Any:
    return CliRunner().invoke(main, ["plan", str(search_file), *options])


def as_data(search_file: Path, *options: str) -> dict[str, Any]:
    done = run_plan(search_file, "--json", *options)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "tune",
    [
        {},
        {"search_alg": "qmc"},
        {"search_alg": {"name": "tpe", "n_startup_trials": 6}},
        {"search_alg": {"name": "gp", "n_startup_trials": 6}},
        {"points_to_evaluate": [{"training.batch_size": 128}]},
    ],
)
def test_the_draws_are_those_of_the_sweep(make_spec: MakeSpec, tune: dict[str, Any]) -> None:
    spec = make_spec(**tune)
    found = make_plan(spec, TWO_CPUS)
    searcher = Searcher(spec)
    assert found.fixed_draws == 6
    for number, values in enumerate(found.draws):
        assert searcher.suggest(number) == values
        searcher.tell(number, values, [0.5 + number / 100])


@pytest.mark.parametrize(
    ("tune", "known"),
    [
        ({"search_alg": {"name": "tpe", "n_startup_trials": 4}}, 4),
        ({"search_alg": {"name": "gp", "n_startup_trials": 40}}, 6),
        ({"search_alg": "bohb", "scheduler": "asha"}, 3),
        ({"search_alg": "bayesopt"}, 6),
        ({"search_alg": {"name": "tpe", "n_startup_trials": 2},
          "points_to_evaluate": [{"training.batch_size": 128}] * 3}, 3),
    ],
)  # fmt: skip
def test_draws_that_depend_on_results_are_told_from_those_that_do_not(
    make_spec: MakeSpec, tune: dict[str, Any], known: int
) -> None:
    assert make_plan(make_spec(**tune), TWO_CPUS).fixed_draws == known


def test_repeats_and_finals_are_counted(make_spec: MakeSpec) -> None:
    found = make_plan(make_spec(repeats=2, final={"top": 2, "repeats": 3}), TWO_CPUS)
    assert (found.spec.trials, found.finals) == (18, 6)
    assert found.all_epochs == 18 * 3
    assert found.expected_epochs == (54, 54)


def test_finals_run_all_their_epochs_whatever_the_scheduler(make_spec: MakeSpec) -> None:
    asha = {"name": "asha", "grace_period": 1, "reduction_factor": 3}
    plain = make_plan(make_spec(scheduler=asha), TWO_CPUS)
    more = make_plan(make_spec(scheduler=asha, final={"top": 1, "repeats": 2}), TWO_CPUS)
    assert plain.expected_epochs[0] < plain.all_epochs
    assert more.expected_epochs[0] == pytest.approx(plain.expected_epochs[0] + 2 * 3)


def test_swept_epochs_are_averaged_over_the_draws(make_spec: MakeSpec) -> None:
    space = {"training.epochs": {"grid": [2, 6]}}
    found = make_plan(make_spec({"space": space}, num_samples=2, search_alg="grid"), TWO_CPUS)
    assert (found.epochs, found.all_epochs) == (4, 8)


@pytest.mark.parametrize(
    ("machine", "resources", "tune", "trials", "trials_per_gpu"),
    [
        (TWO_CPUS, {"cpu": 1, "gpu": 0.25}, {}, 2, None),
        (TWO_CPUS, {"cpu": 4}, {}, 0, None),
        (TWO_GPUS, {"cpu": 1, "gpu": 0.25}, {"num_samples": 20}, 8, 4),
        (TWO_GPUS, {"cpu": 4, "gpu": 0.25}, {"num_samples": 20}, 4, 2),
        (TWO_GPUS, {"cpu": 1, "gpu": 0.4}, {"num_samples": 20}, 4, 2),
        (TWO_GPUS, {"cpu": 1, "gpu": 0.25}, {}, 6, 3),
        (TWO_GPUS, {"cpu": 1, "gpu": 0.25}, {"max_concurrent_trials": 3}, 3, 2),
        (TWO_GPUS, {"cpu": 1, "gpu": 2}, {}, 1, None),
    ],
)
def test_trials_are_placed_as_a_cluster_of_that_machine_would(
    make_spec: MakeSpec,
    machine: dict[str, float],
    resources: dict[str, float],
    tune: dict[str, Any],
    trials: int,
    trials_per_gpu: int | None,
) -> None:
    concurrency = make_plan(make_spec({"resources": resources}, **tune), machine).concurrency
    assert (concurrency.trials, concurrency.trials_per_gpu) == (trials, trials_per_gpu)


def test_auto_is_said_to_be_measured_later(search_file: Path, monkeypatch: Any) -> None:
    def said(machine: dict[str, float]) -> str:
        monkeypatch.setattr("sweeps.cluster.placement.this_machine", lambda: machine)
        return " ".join(run_plan(search_file, "--set", "resources.gpu=auto").stdout.split())

    text = said(TWO_CPUS)
    assert "2 trials, each with 1 CPU (resources.gpu auto: 0 without a GPU)" in text
    text = said(TWO_GPUS)
    assert "at once: at least 2 trials, each with 1 CPU and at most 1 GPU" in text
    assert "(resources.gpu auto: measured when the sweep starts)" in text


def test_the_probe_settles_auto(search_file: Path) -> None:
    done = run_plan(search_file, "--set", "resources.gpu=auto", "--probe", "--allow-custom-model")
    assert done.exit_code == 0, done.output
    assert "resources.gpu auto is 0: there is no GPU" in done.stdout


def test_this_machine_has_room_for_a_small_trial() -> None:
    assert places({"cpu": 1.0, "gpu": 0.0}, this_machine()) >= 1


def test_the_verb_says_what_a_sweep_will_do(search_file: Path) -> None:
    done = run_plan(search_file, "--set", "tune.scheduler=asha", "--set", "tune.repeats=1")
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    assert text.startswith("6 configurations: 6 trials in all draws, by random; none depends on")
    assert "0 optimizer.learning_rate: " in text
    assert "training config of draw 0: seed: {enabled: " in text
    assert "training config of draw 1: the same but for" in text
    assert "scheduler asha: expected: 6.0 come to epoch 1" in text
    assert "are expected to run" in text
    assert "time: not known without a look at the model; add --probe disk: " in text


def test_a_bad_file_is_refused_as_by_validate(search_file: Path) -> None:
    done = run_plan(search_file, "--set", "tune.num_samples=0")
    assert done.exit_code == 2
    assert "--set tune.num_samples: must be > 0" in done.stderr


def test_json_has_all_of_it(search_file: Path) -> None:
    found = as_data(search_file)
    assert (found["trials"], found["configurations"], found["known_draws"]) == (6, 6, 6)
    assert found["all_epochs"] == 18
    assert found["expected_epochs"] == [18, 18]
    assert [set(draw) for draw in found["draws"]] == [
        {"optimizer.learning_rate", "training.batch_size"}
    ] * 6
    assert [parse_config(config).training.batch_size for config in found["configs"]] == [
        draw["training.batch_size"] for draw in found["draws"][:5]
    ]
    assert (found["probe"], found["seconds"]) == (None, None)


def test_written_configs_are_those_of_the_trials(search_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "configs"
    found = as_data(search_file, "--write", str(target))
    files = sorted(target.iterdir())
    assert [path.name for path in files] == [f"{number}.yaml" for number in range(6)]
    assert found["written"] == 6
    for path, values in zip(files, found["draws"], strict=True):
        config = load_config(path)
        assert config.optimizer.learning_rate == values["optimizer.learning_rate"]
        assert config.training.batch_size == values["training.batch_size"]
        assert path.read_text(encoding="utf-8").startswith(f"# python -m trainable {path}\n")


def test_repeats_are_written_with_their_seeds(search_file: Path, tmp_path: Path) -> None:
    options = ("--set", "tune.repeats=2", "--set", "tune.num_samples=12")
    as_data(search_file, *options, "--write", str(tmp_path / "new"))
    names = [path.name for path in sorted((tmp_path / "new").iterdir())]
    assert names[:3] == ["00_0.yaml", "00_1.yaml", "01_0.yaml"]
    first, second = (load_config(tmp_path / "new" / name) for name in names[:2])
    assert first.seed.value != second.seed.value
    assert first.optimizer == second.optimizer


def test_of_a_sweep_that_learns_only_the_known_draws_are_written(
    search_file: Path, tmp_path: Path
) -> None:
    options = ("--set", "tune.search_alg={name: tpe, n_startup_trials: 2}")
    assert as_data(search_file, *options, "--write", str(tmp_path / "new"))["written"] == 2


def test_a_directory_with_something_in_it_is_not_written_into(search_file: Path) -> None:
    before = search_file.read_text(encoding="utf-8")
    done = run_plan(search_file, "--write", str(search_file.parent))
    assert done.exit_code == 2
    assert "is not empty; give a new directory" in done.stderr
    assert [path.name for path in search_file.parent.iterdir()] == ["search.yaml"]
    assert search_file.read_text(encoding="utf-8") == before


def test_the_probe_tries_draws_whose_batches_differ(make_spec: MakeSpec) -> None:
    found = make_plan(make_spec(), TWO_CPUS)
    probed = probe(found, allow_custom_model=True)
    assert probed[0].number == 0
    assert {draw.config.training.batch_size for each in probed} == {128, 256}
    for each in probed:
        measured = draw.cost
        assert measured.device == "cpu"
        assert measured.parameters > 0
        assert measured.checkpoint_bytes > 4 * measured.parameters
        assert measured.epoch_s > 0
        assert measured.peak_memory_gib > 0


def test_the_verb_adds_what_the_probe_found(search_file: Path) -> None:
    done = run_plan(search_file, "--probe", "--allow-custom-model")
    assert done.exit_code == 0, done.output
    assert "on cpu, one trial alone" in done.stdout
    assert "\ntime: " in done.stdout
    assert "of checkpoints\n" in done.stdout
    refused = run_plan(search_file, "--probe")
    assert refused.exit_code == 2
    assert "--allow-custom-model" in refused.stderr


def probed_once(spec: SearchSpec, epoch_s: float = 2.0) -> list[ProbedDraw]:
    config = parse_config(spec.trial_config({}, 0))
    return [ProbedDraw(0, {}, config, TrainingCost("cpu", 10, 1000, 1.0, epoch_s, 0.5))]


@pytest.mark.parametrize(
    ("keep", "files", "trials"),
    [
        ({}, 3, 6),  # epoch_0002, the third epoch as latest, and the best
        ({"epochs": 0}, 2, 6),
        ({"trials": 1}, 3, 3),  # the best, and two that run
    ],
)
def test_the_forecast_counts_the_files_that_stay(
    make_spec: MakeSpec, keep: dict[str, Any], files: int, trials: int
) -> None:
    spec = make_spec({"keep": keep})
    low, high = forecast(make_plan(spec, TWO_CPUS), probed_once(spec)).disk_bytes
    assert (low, high) == (files * trials * 1000, files * trials * 1000)


def test_without_checkpoints_nothing_stays(
    make_spec: MakeSpec, tiny_data: Callable[..., dict[str, Any]]
) -> None:
    spec = make_spec({"config": tiny_data()})
    assert forecast(make_plan(spec, TWO_CPUS), probed_once(spec)).disk_bytes == (0, 0)


def test_the_forecast_of_time_is_a_range_that_sharing_a_card_opens(make_spec: MakeSpec) -> None:
    spec = make_spec({"resources": {"cpu": 1, "gpu": 0.5}})
    low, high = forecast(make_plan(spec, TWO_GPUS), probed_once(spec)).seconds
    assert low == pytest.approx(18 * 2.0 / 4)  # four at once
    assert high == pytest.approx(18 * 2.0 / 2 + 6 * 1.0 / 4)  # one a card, and reading the data
    long = make_spec({"resources": {"cpu": 1}}, num_samples=1)
    assert forecast(make_plan(long, TWO_CPUS), probed_once(long)).seconds[0] == 6.0
