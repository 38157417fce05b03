"""The search file: defaults, the resolved form, and the config of a trial."""

from pathlib import Path

import pytest

from sweeps.spec.load import load_search, parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import METRICS
from trainable.config import AdamWOptimizer, TrainConfig, TrainingConfig, parse_config
from trainable.config.introspection import fields_of, options
from trainable.config.yaml_reader import dump_yaml, parse_yaml
from trainable.errors import ConfigError

CONFIG = """\
dataset: {name: digits}
model: {name: resnet20}
training: {epochs: 9}
optimizer: {name: sgd, learning_rate: 0.1, momentum: 0.9}
"""

SEARCH = """\
name: digits_asha
config: base.yaml
space:
  optimizer.learning_rate: {loguniform: [1e-3, 1.0]}
  training.batch_size: {choice: [32, 64, 128]}
  optimizer.name: {choice: [sgd, adamw]}
  optimizer.momentum: {uniform: [0.8, 0.99], when: {optimizer.name: sgd}}
tune:
  num_samples: 16
  search_alg: {name: tpe, n_startup_trials: 8}
  scheduler: {name: asha, grace_period: 2, reduction_factor: 3}
resources: {cpu: 1, gpu: 0.25}
"""

BASE = parse_yaml(CONFIG, "base").data


@pytest.fixture(autouse=True)
def _in_empty_directory(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "base.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)


def load(text, config=CONFIG):
    Path("files/base.yaml").write_text(config)
    Path("files/search.yaml").write_text(text)
    return load_search("files/search.yaml")


def spec_of(space=None, tune=None, config=BASE, **sections):
    tune = {"num_samples": 3, "seed": 7, **(tune or {})}
    return parse_search({"config": config, "space": space or {}, "tune": tune, **sections})


# ---------------------------------------------------------------------------- defaults


def test_the_smallest_search_file_gets_every_default_written_out(tmp_path):
    spec = load("config: base.yaml\ntune: {num_samples: 4, seed: 1}\n")
    assert spec.to_dict() == {
        "name": "",
        "config": {
            "dataset": {"name": "digits", "root": str(tmp_path / "data")},
            "model": {"name": "resnet20"},
            "training": {"epochs": 9},
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
            "checkpoint": {"dir": str(tmp_path / "experiments")},
            "tensorboard": {"log_dir": str(tmp_path / "runs")},
        },
        "space": {},
        "constraints": [],
        "tune": {
            "metric": "val_acc",
            "mode": "max",
            "pareto": {},
            "target": None,
            "num_samples": 4,
            "repeats": 1,
            "final": None,
            "points_to_evaluate": [],
            "search_alg": {"name": "random"},
            "scheduler": {"name": "fifo"},
            "max_concurrent_trials": "auto",
            "time_budget": None,
            "warm_start": None,
            "seed": 1,
        },
        "resources": {"cpu": 1.0, "gpu": 0.0, "process": "trial"},
        "failure": {
            "max_retries": 2,
            "stop_after": 5,
            "epoch_timeout": None,
            "oom": "exclusive_then_halve_batch",
            "oom_memory": True,
            "nan": "stop",
        },
        "keep": {"epochs": "all", "trials": "all", "min_free_gib": 0.5},
        "hooks": {"on_best": None, "on_finish": None, "timeout": 30.0},
        "log_to": {"mlflow": None, "wandb": None, "trackio": None, "optuna": None},
    }


def test_algorithms_get_their_defaults_and_may_be_given_by_name_alone():
    tune = spec_of(tune={"search_alg": "tpe", "scheduler": "asha"}).to_dict()["tune"]
    assert tune["search_alg"] == {"name": "tpe", "n_startup_trials": 10, "multivariate": False}
    assert tune["scheduler"] == {
        "name": "asha",
        "grace_period": 1,
        "reduction_factor": 4.0,
        "brackets": 1,
        "max_t": None,
    }


@pytest.mark.parametrize("metric", METRICS)
def test_the_mode_follows_the_metric(metric):
    expected = "min" if metric in ("train_loss", "val_loss") else "max"
    assert spec_of(tune={"metric": metric}).tune.mode == expected
    assert spec_of(tune={"metric": metric, "mode": None}).tune.mode == expected


def keys_with_defaults(model=SearchSpec):
    """Yields (path, field) of the keys of a file that have a default."""
    for key, field in model.model_fields.items():
        kinds = [kind for kind in options(field.annotation) if fields_of(kind)]
        if not field.is_required():
            yield (key,)
        for kind in kinds[:1]:
            yield from ((key, *path) for path in keys_with_defaults(kind))


@pytest.mark.parametrize("path", list(keys_with_defaults()), ids=".".join)
def test_null_means_the_default(path):
    data = {"config": BASE, "space": {}, "tune": {"num_samples": 3, "seed": 7}}
    *sections, key = path
    section = data
    for name in sections:
        section = section.setdefault(name, {})
    section[key] = None
    assert parse_search(data) == parse_search({**data, **without(data, path)})


def without(data, path):
    first, *rest = path
    if not rest:
        return {key: value for key, value in data.items() if key != first}
    return {**data, first: without(data[first], rest)}


@pytest.mark.parametrize("path", list(keys_with_defaults(TrainConfig)), ids=".".join)
def test_null_means_the_default_in_a_training_config_too(path):
    data = {**BASE, "optimizer": dict(BASE["optimizer"])}
    *sections, key = path
    section = data
    for name in sections:
        section = section.setdefault(name, {}) if name not in BASE else data[name]
        if name in BASE:
            section = data[name] = dict(section)
    section[key] = None
    complete = parse_config(without(data, path))
    assert parse_config(data) == complete
    spec = spec_of({"training.batch_size": {"choice": [32]}}, config=data)
    assert spec.trial_config({}, 0).training == complete.training
    assert Path(spec.training.checkpoint.dir).is_absolute()
    assert Path(spec.training.dataset.root).is_absolute()


def test_a_seed_that_is_not_given_is_drawn_and_written_down():
    seeds = {spec_of(tune={"seed": None}).tune.seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(isinstance(seed, int) and seed >= 0 for seed in seeds)


def test_a_grid_has_its_size_as_the_number_of_trials_by_default():
    space = {
        "optimizer.learning_rate": {"grid": [0.1, 0.2, 0.3]},
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "optimizer.nesterov": {"grid": [True, False], "when": {"optimizer.name": "sgd"}},
    }
    for algorithm in ("grid", {"name": "grid"}):
        data = {"config": BASE, "space": space, "tune": {"search_alg": algorithm}}
        assert parse_search(data).tune.num_samples == 9
        data["tune"]["num_samples"] = 5
        assert parse_search(data).tune.num_samples == 5


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(None, None), (90, 90.0), ("90s", 90.0), ("1.5h", 5400.0), ("2 d", 172800.0)],
)
def test_a_time_budget_is_seconds_or_a_text_with_its_unit(written, seconds):
    assert spec_of(tune={"time_budget": written}).tune.time_budget == seconds


def test_trials_to_keep_may_be_written_as_the_top_few():
    assert spec_of(keep={"trials": "top 5"}).keep == spec_of(keep={"trials": 5}).keep


def test_sections_without_keys_are_empty():
    text = "config: base.yaml\nspace:\nresources:\ntune: {num_samples: 1}\n"
    assert load(text).space == {}
    with pytest.raises(ConfigError, match=r"line 2: tune\.num_samples: required key is missing"):
        load("config: base.yaml\ntune:\n")


# ---------------------------------------------------------------------------- resolved form


def test_the_resolved_file_read_again_gives_an_equal_spec_also_elsewhere(tmp_path, monkeypatch):
    spec = load(SEARCH)
    text = dump_yaml(spec.to_dict())
    monkeypatch.chdir(tmp_path / "files")
    again = parse_search(parse_yaml(text, "search.yaml"))
    assert again == spec
    assert list(again.space) == list(spec.space)
    assert dump_yaml(again.to_dict()) == text


def test_paths_become_absolute(tmp_path):
    config = {
        **BASE,
        "dataset": {"name": "digits", "root": "~/images"},
        "checkpoint": {"dir": "runs", "resume": "old/latest.pt"},
        "tensorboard": {"log_dir": "/logs"},
    }
    spec = spec_of(config=config)
    assert spec.training.dataset.root == str(Path.home() / "images")
    assert spec.training.checkpoint.dir == str(tmp_path / "runs")
    assert spec.training.checkpoint.resume == str(tmp_path / "old" / "latest.pt")
    assert spec.training.tensorboard.log_dir == "/logs"


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("arrays", "data.npz", "data.npz"),
        ("table", "~/labels.csv", str(Path.home() / "labels.csv")),
        ("table", "/data/labels.csv", "/data/labels.csv"),
    ],
)
def test_the_file_of_a_data_set_stays_below_the_absolute_root(tmp_path, name, file, expected):
    spec = spec_of(config={**BASE, "dataset": {"name": name, "root": "images", "file": file}})
    assert spec.training.dataset.root == str(tmp_path / "images")
    assert spec.training.dataset.file == expected


def test_the_training_config_can_be_part_of_the_search_file():
    inside = CONFIG.replace("\n", "\n  ").rstrip()
    spec = load(f"config:\n  {inside}\ntune: {{num_samples: 1}}\n")
    assert spec.to_dict()["config"]["optimizer"] == BASE["optimizer"]


def test_a_config_path_is_relative_to_the_search_file_and_may_be_absolute(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(CONFIG)
    assert load(SEARCH.replace("base.yaml", str(other))).training.training.epochs == 9
    assert load(SEARCH.replace("base.yaml", "../other.yaml")).training.training.epochs == 9


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load(SEARCH).tune.num_samples = 3


# ---------------------------------------------------------------------------- trials


def test_a_trial_gets_a_complete_config_with_its_values_in_it():
    spec = load(SEARCH)
    config = spec.trial_config({"optimizer.learning_rate": 0.5, "training.batch_size": 64}, 0)
    assert config.optimizer.learning_rate == 0.5
    assert config.training == TrainingConfig(epochs=9, batch_size=64)
    assert parse_config(config.to_dict()) == config


def test_a_trial_of_another_optimizer_has_that_optimizers_defaults():
    config = load(SEARCH).trial_config({"optimizer.name": "adamw"}, 0)
    assert config.optimizer == AdamWOptimizer(name="adamw", learning_rate=0.1)
    assert config.optimizer.weight_decay == 0.01


def test_trials_share_the_configs_seed_so_that_they_can_be_compared():
    config = {**BASE, "seed": {"enabled": True, "value": 5}}
    spec = spec_of({"training.batch_size": {"choice": [1, 2]}}, config=config)
    seeds = [spec.trial_config({"training.batch_size": 1}, n).seed.value for n in range(3)]
    assert seeds == [5, 5, 5]


def test_trials_without_hyperparameters_differ_by_their_seed():
    spec = spec_of(config={**BASE, "seed": {"enabled": True, "value": 5}})
    assert [spec.trial_config({}, n).seed.value for n in range(3)] == [5, 6, 7]


def test_a_swept_seed_is_the_trials_seed():
    spec = spec_of({"seed.value": {"randint": [0, 9]}})
    assert spec.trial_config({"seed.value": 3}, 1).seed.value == 3


def test_the_trials_of_a_configuration_hold_out_one_fold_after_the_other():
    dataset = {"name": "digits", "folds": 3, "fold": 1}
    config = {**BASE, "dataset": dataset, "seed": {"enabled": True, "value": 5}}
    spec = spec_of(
        {"training.batch_size": {"choice": [1, 2]}},
        config=config,
        tune={"num_samples": 2, "repeats": 4},
    )
    configs = [spec.trial_config({"training.batch_size": 1}, n, n) for n in range(4)]
    assert [config.dataset.fold for config in configs] == [1, 2, 0, 1]
    assert [config.seed.value for config in configs] == [5, 6, 7, 8]
    assert spec.fold_of(configs[2]) == {"dataset.fold": 0}
    assert spec.trial_config({"dataset.fold": 2}, 0, 3).dataset.fold == 2


@pytest.mark.parametrize(
    ("dataset", "space", "keys"),
    [
        ({"folds": 3}, {}, {}),
        ({"val_split": 0.2}, {}, {"tune": {"num_samples": 2, "repeats": 3}}),
        (
            {"folds": 3},
            {"dataset.fold": {"choice": [0, 1]}},
            {"tune": {"num_samples": 2, "repeats": 3}},
        ),
    ],
)
def test_the_sweep_chooses_no_fold_without_repeats_without_folds_or_with_a_swept_fold(
    dataset, space, keys
):
    spec = spec_of(space, config={**BASE, "dataset": {"name": "digits", **dataset}}, **keys)
    assert spec.fold_of(spec.training) == {}


def test_values_that_make_no_config_are_refused_with_the_trials_number():
    with pytest.raises(
        ConfigError, match=r"trial 4: 1 problem\n  training.batch_size: must be > 0"
    ):
        load(SEARCH).trial_config({"training.batch_size": 0}, 4)


@pytest.mark.parametrize(
    ("space", "epochs"),
    [
        ({}, 9),
        ({"training.epochs": {"choice": [3, 12, 5]}}, 12),
        ({"training.epochs": {"randint": [3, 8]}}, 7),
        (
            {
                "training.epochs": {"choice": [3], "when": {"model.name": "cnv"}},
                "model.name": {"choice": ["cnv", "resnet20"]},
            },
            9,
        ),
    ],
)
def test_the_largest_number_of_epochs_follows_from_config_and_space(space, epochs):
    assert spec_of(space).max_epochs == epochs
