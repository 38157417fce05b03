"""`sweep plan`: its output and the configs that it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.cluster.placement import this_machine, trials_per_machine
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
    """Makes a search over the tiny config, with keys of `tune` or other sections replaced."""

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


def run_plan(search_file: Path, *options: str, allow: bool = True) -> Any:
    flag = ["--allow-custom-model"] * allow
    return CliRunner().invoke(main, ["plan", str(search_file), *options, *flag])


def as_data(search_file: Path, *options: str) -> dict[str, Any]:
    done = run_plan(search_file, "--json", *options)
    assert done.exit_code == 0, done.output
    data: dict[str, Any] = json.loads(done.stdout)
    return data


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
    plan = make_plan(spec, TWO_CPUS)
    searcher = Searcher(spec)
    assert plan.fixed_draws == 6
    for number, values in enumerate(plan.draws):
        assert searcher.suggest(number) == values
        searcher.tell(number, values, [0.5 + number / 100])


@pytest.mark.parametrize(
    ("tune", "fixed_draws"),
    [
        ({"search_alg": {"name": "tpe", "n_startup_trials": 4}}, 4),
        ({"search_alg": {"name": "gp", "n_startup_trials": 40}}, 6),
        ({"search_alg": "bohb", "scheduler": "asha"}, 3),
        ({"search_alg": {"name": "tpe", "n_startup_trials": 2},
          "points_to_evaluate": [{"training.batch_size": 128}] * 3}, 3),
    ],
)  # fmt: skip
def test_draws_that_depend_on_results_are_not_fixed(
    make_spec: MakeSpec, tune: dict[str, Any], fixed_draws: int
) -> None:
    assert make_plan(make_spec(**tune), TWO_CPUS).fixed_draws == fixed_draws


def test_repeats_and_finals_are_counted(make_spec: MakeSpec) -> None:
    plan = make_plan(make_spec(repeats=2, final={"top": 2, "repeats": 3}), TWO_CPUS)
    assert (plan.spec.trials, plan.finals) == (18, 6)
    assert plan.all_epochs == 18 * 3
    assert plan.expected_epochs == (54, 54)


def test_finals_train_all_their_epochs_under_any_scheduler(make_spec: MakeSpec) -> None:
    asha = {"name": "asha", "grace_period": 1, "reduction_factor": 3}
    plain = make_plan(make_spec(scheduler=asha), TWO_CPUS)
    more = make_plan(make_spec(scheduler=asha, final={"top": 1, "repeats": 2}), TWO_CPUS)
    assert plain.expected_epochs[0] < plain.all_epochs
    assert more.expected_epochs[0] == pytest.approx(plain.expected_epochs[0] + 2 * 3)


def test_swept_epochs_are_averaged_over_the_draws(make_spec: MakeSpec) -> None:
    space = {"training.epochs": {"grid": [2, 6]}}
    plan = make_plan(make_spec({"space": space}, num_samples=2, search_alg="grid"), TWO_CPUS)
    assert (plan.epochs, plan.all_epochs) == (4, 8)


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
def test_concurrent_trials_are_those_of_a_cluster_of_that_machine(
    make_spec: MakeSpec,
    machine: dict[str, float],
    resources: dict[str, float],
    tune: dict[str, Any],
    trials: int,
    trials_per_gpu: int | None,
) -> None:
    concurrency = make_plan(make_spec({"resources": resources}, **tune), machine).concurrency
    assert (concurrency.trials, concurrency.trials_per_gpu) == (trials, trials_per_gpu)


def test_auto_is_announced_as_measured_later(search_file: Path, monkeypatch: Any) -> None:
    def planned(machine: dict[str, float]) -> str:
        monkeypatch.setattr("sweeps.cluster.placement.this_machine", lambda: machine)
        return " ".join(run_plan(search_file, "--set", "resources.gpu=auto").stdout.split())

    text = planned(TWO_CPUS)
    assert "concurrent trials: 2, each with 1 CPU (resources.gpu auto: 0 without a GPU)" in text
    text = planned(TWO_GPUS)
    assert "concurrent trials: at least 2, each with 1 CPU and at most 1 GPU" in text
    assert "(resources.gpu auto: measured when the sweep starts)" in text


def test_the_probe_resolves_auto(search_file: Path) -> None:
    done = run_plan(search_file, "--set", "resources.gpu=auto", "--probe")
    assert done.exit_code == 0, done.output
    assert "resources.gpu auto is 0: there is no GPU" in done.stdout


def test_this_machine_can_run_a_small_trial() -> None:
    assert trials_per_machine({"cpu": 1.0, "gpu": 0.0}, this_machine()) >= 1


def test_plan_describes_the_sweep(search_file: Path) -> None:
    done = run_plan(search_file, "--set", "tune.scheduler=asha", "--set", "tune.repeats=1")
    assert done.exit_code == 0, done.output
    summary = done.stdout.rpartition("\n\n")[2].splitlines()
    assert summary[0] == "6 configurations: 6 trials"
    heads = [line.partition(":")[0] for line in summary[1:]]
    assert heads[-5:] == ["scheduler asha", "epochs", "concurrent trials", "time", "disk"]
    text = " ".join(done.stdout.split())
    assert text.startswith("draws by random; none depends on")
    assert "0 optimizer.learning_rate: " in text
    assert "training config of draw 0: seed: {enabled: " in text
    assert "training config of draw 1: the same except" in text
    assert "scheduler asha: expected: 6 trials reach epoch 1" in text
    assert "are expected; more if trials overtake" in text
    assert "time: unknown; --probe estimates it disk: " in text


def test_a_bad_file_is_refused_as_by_validate(search_file: Path) -> None:
    done = run_plan(search_file, "--set", "tune.num_samples=0")
    assert done.exit_code == 2
    assert "--set tune.num_samples: must be > 0" in done.stderr


def test_json_has_the_whole_plan(search_file: Path) -> None:
    data = as_data(search_file)
    assert (data["trials"], data["configurations"], data["known_draws"]) == (6, 6, 6)
    assert data["all_epochs"] == 18
    assert data["expected_epochs"] == [18, 18]
    assert [set(draw) for draw in data["draws"]] == [
        {"optimizer.learning_rate", "training.batch_size"}
    ] * 6
    assert [parse_config(config).training.batch_size for config in data["configs"]] == [
        draw["training.batch_size"] for draw in data["draws"][:5]
    ]
    assert (data["probe"], data["seconds"]) == (None, None)


def test_written_configs_are_those_of_the_trials(search_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "configs"
    data = as_data(search_file, "--write", str(target))
    files = sorted(target.iterdir())
    assert [path.name for path in files] == [f"{number}.yaml" for number in range(6)]
    assert data["written"] == 6
    for path, values in zip(files, data["draws"], strict=True):
        config = load_config(path)
        assert config.optimizer.learning_rate == values["optimizer.learning_rate"]
        assert config.training.batch_size == values["training.batch_size"]
        command = f"python -m trainable configs/{path.name} --allow-custom-model"
        assert path.read_text(encoding="utf-8").startswith(f"# {command}\n")


def test_repeats_are_written_with_their_seeds(search_file: Path, tmp_path: Path) -> None:
    options = ("--set", "tune.repeats=2", "--set", "tune.num_samples=12")
    as_data(search_file, *options, "--write", str(tmp_path / "new"))
    names = [path.name for path in sorted((tmp_path / "new").iterdir())]
    assert names[:3] == ["00_0.yaml", "00_1.yaml", "01_0.yaml"]
    first, second = (load_config(tmp_path / "new" / name) for name in names[:2])
    assert first.seed.value != second.seed.value
    assert first.optimizer == second.optimizer


def test_only_fixed_draws_are_written(search_file: Path, tmp_path: Path) -> None:
    options = ("--set", "tune.search_alg={name: tpe, n_startup_trials: 2}")
    assert as_data(search_file, *options, "--write", str(tmp_path / "new"))["written"] == 2


def test_a_directory_that_is_not_empty_is_refused(search_file: Path) -> None:
    before = search_file.read_text(encoding="utf-8")
    done = run_plan(search_file, "--write", str(search_file.parent))
    assert done.exit_code == 2
    assert "is not empty; give a new directory" in done.stderr
    assert [path.name for path in search_file.parent.iterdir()] == ["search.yaml"]
    assert search_file.read_text(encoding="utf-8") == before


def test_the_probe_tries_draws_whose_batches_differ(make_spec: MakeSpec) -> None:
    plan = make_plan(make_spec(), TWO_CPUS)
    probed = probe(plan, allow_custom_model=True)
    assert probed[0].number == 0
    assert {draw.config.training.batch_size for draw in probed} == {128, 256}
    for draw in probed:
        cost = draw.cost
        assert cost.device == "cpu"
        assert cost.parameters > 0
        assert cost.checkpoint_bytes > 4 * cost.parameters
        assert cost.epoch_s > 0
        assert cost.peak_memory_gib > 0


def test_plan_adds_the_results_of_the_probe(search_file: Path) -> None:
    done = run_plan(search_file, "--probe")
    assert done.exit_code == 0, done.output
    assert "on cpu, one trial alone" in done.stdout
    assert "\ntime: " in done.stdout
    assert "of checkpoints\n" in done.stdout
    refused = run_plan(search_file, "--probe", allow=False)
    assert refused.exit_code == 2
    assert "--allow-custom-model" in refused.stderr


def probed_once(spec: SearchSpec, epoch_s: float = 2.0) -> list[ProbedDraw]:
    config = spec.trial_config({}, 0)
    return [ProbedDraw(0, {}, config, TrainingCost("cpu", 10, 1000, 1.0, epoch_s, 0.5))]


def test_sharing_a_gpu_makes_the_forecast_of_time_a_range(make_spec: MakeSpec) -> None:
    spec = make_spec({"resources": {"cpu": 1, "gpu": 0.5}})
    low, high = forecast(make_plan(spec, TWO_GPUS), probed_once(spec)).seconds
    assert low == pytest.approx(18 * 2.0 / 4)  # four concurrent trials
    assert high == pytest.approx(18 * 2.0 / 2 + 6 * 1.0 / 4)  # one per GPU, and reading the data
    long = make_spec({"resources": {"cpu": 1}}, num_samples=1)
    assert forecast(make_plan(long, TWO_CPUS), probed_once(long)).seconds[0] == 6.0
