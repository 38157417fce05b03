"""Refusals of a search file: where, the rule, and the value."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.spec.load import load_search, parse_search
from trainable.config.yaml_reader import parse_yaml
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


OPTIMIZER_KEYS = (
    "(known: args, betas, decay_norm_and_bias, eps, head_lr_factor, layer_decay, "
    "learning_rate, momentum, name, nesterov, weight_decay)"
)


def load(text, config=CONFIG):
    Path("files/base.yaml").write_text(config)
    Path("files/search.yaml").write_text(text)
    return load_search("files/search.yaml")


def refused(text, config=CONFIG):
    with pytest.raises(ConfigError) as caught:
        load(text, config)
    first, *problems = str(caught.value).splitlines()
    assert first.startswith("files/search.yaml: ")
    return [problem.strip() for problem in problems]


def test_all_problems_of_a_file_are_listed_with_their_lines():
    text = """\
name: a/b
config: base.yaml
space:
  optimizer.learning_rate: {loguniform: [0, 1.0]}
  training.batch_size: [32, 64]
  optimizer.momentum: {unifrm: [0.8, 0.99]}
  optimizer.weight_decay: {uniform: [0, 1], wen: {optimizer.name: sgd}}
tune:
  metric: val_ac
  mode: maximum
  search_alg: tpee
  max_concurrent_trials: 0
  scheduler: {name: asha, grace_perod: 2, reduction_factor: 1}
  seed: -1
resources: {cpu: 0, gpu: 1.25}
spce:
"""
    kinds = (
        "choice, expr, grid, lognormal, lograndint, loguniform, normal, qlograndint, qloguniform, "
        "qnormal, qrandint, quniform, randint, uniform, zip"
    )
    assert refused(text) == [
        "line 1: name: must be one directory's name without a path in it, found 'a/b'",
        "line 4: space.optimizer.learning_rate.loguniform: must have its low end > 0, found 0.0",
        "line 5: space.training.batch_size: a bare list can be read in two ways: write {choice: "
        "[32, 64]} to try these values, or {uniform: [32, 64]} for the range between them",
        "line 6: space.optimizer.momentum.unifrm: unknown distribution; did you mean "
        f'"uniform"? (known: {kinds})',
        'line 7: space.optimizer.weight_decay.wen: unknown key; did you mean "when"? '
        "(known: weights, when)",
        "line 8: tune.num_samples: required key is missing",
        'line 9: tune.metric: unknown name, found "val_ac"; did you mean "val_acc"? '
        "(measured: train_loss, train_acc, val_loss, val_acc, best_acc)",
        'line 10: tune.mode: must be "max" or "min", found "maximum"',
        'line 11: tune.search_alg.name: unknown name, found "tpee"; did you mean "tpe"? '
        "(known: bohb, cmaes, gp, grid, optuna, qmc, random, tpe)",
        'line 12: tune.max_concurrent_trials: must be "auto" or > 0, found 0',
        "line 13: tune.scheduler.reduction_factor: must be > 1, found 1",
        'line 13: tune.scheduler.grace_perod: unknown key; did you mean "grace_period"? '
        "(known: brackets, grace_period, max_t, name, reduction_factor)",
        "line 14: tune.seed: must be >= 0, found -1",
        "line 15: resources.cpu: must be > 0, found 0",
        "line 15: resources.gpu: must be whole above 1, found 1.25",
        'line 16: spce: unknown key; did you mean "space"? '
        "(known: config, constraints, failure, hooks, keep, log_to, name, resources, space, tune)",
    ]


def test_rules_between_keys_are_checked_in_the_same_pass():
    text = """\
config: base.yaml
space:
  optimizer.lerning_rate: {uniform: [0.1, 1]}
  training.batch_size: {choice: [32, 0, 64, -1]}
  optimizer.weight_decay: {unifrm: [0, 1]}
  optimizer.momentum: {uniform: [0, 0.9], when: {optimizer.nam: sgd}}
constraints: ["seed.value > 0", "optimizer.momentun < 1"]
tune:
  metric: val_loss
  mode: max
  num_samples: many
  target: -3
  scheduler: {name: asha, grace_period: 10, reduction_factr: 3}
  points_to_evaluate: [{training.batch_size: 7}]
resources: {gpu: 1.5}
"""
    config = CONFIG.replace("epochs: 9", "epochs: 9, batchsize: 4")
    config += "scheduler: {warmup_epochs: 9}\n"
    problems = refused(text, config)
    assert [problem.partition(", found")[0] for problem in problems] == [
        "line 1: config: files/base.yaml: line 3: training.batchsize: unknown key; did you mean "
        '"batch_size"? (known: accumulation_steps, batch_size, cache_features, cached_passes, '
        "clip_grad, compile, cuda_graph, early_stopping, epochs, max_seconds, sampler, "
        "test_frequency)",
        "line 1: config: files/base.yaml: line 5: scheduler.warmup_epochs: must be below "
        "training.epochs (9)",
        "line 3: space.optimizer.lerning_rate: unknown key; did you mean "
        f'"learning_rate"? {OPTIMIZER_KEYS}',
        "line 4: space.training.batch_size: must be > 0",
        "line 4: space.training.batch_size: must be > 0",
        "line 5: space.optimizer.weight_decay.unifrm: unknown distribution; did you mean "
        '"uniform"? (known: choice, expr, grid, lognormal, lograndint, loguniform, normal, '
        "qlograndint, qloguniform, qnormal, qrandint, quniform, randint, uniform, zip)",
        "line 6: space.optimizer.momentum.when.optimizer.nam: must be a key of the space "
        "(known: optimizer.lerning_rate, optimizer.momentum, training.batch_size)",
        "line 7: constraints[1]: optimizer.momentun is not a key of the space or the training "
        f'config; did you mean "momentum"? {OPTIMIZER_KEYS}',
        'line 10: tune.mode: must be "min" for val_loss',
        "line 11: tune.num_samples: must be an integer",
        "line 12: tune.target: must be >= 0 for val_loss",
        "line 13: tune.scheduler.reduction_factr: unknown key; did you mean "
        '"reduction_factor"? (known: brackets, grace_period, max_t, name, reduction_factor)',
        "line 14: tune.points_to_evaluate[0].training.batch_size: must be one that "
        '{"choice": [32, 0, 64, -1]} can draw',
        "line 15: resources.gpu: must be whole above 1",
    ]


@pytest.mark.parametrize(
    ("tune", "config"),
    [
        ("num_samples: 0, points_to_evaluate: [{}, {}]", CONFIG),
        ("num_samples: 2, search_alg: tpee, warm_start: earlier", CONFIG),
        ("num_samples: 2, repeats: 2, scheduler: {nam: asha}", CONFIG),
        ("num_samples: 2, scheduler: {name: asha, grace_period: 99}", CONFIG.replace("9", "0")),
        (
            "num_samples: 2",
            CONFIG.replace("epochs: 9", "epochs: 9, batch_siz: 130, accumulation_steps: 130"),
        ),
    ],
)
def test_a_broken_value_causes_no_second_problem(tune, config):
    assert len(refused(f"config: base.yaml\ntune: {{{tune}}}\n", config)) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "config: base.yaml\ntune: {num_samples: 0}\n",
            "line 2: tune.num_samples: must be > 0, found 0",
        ),
        (
            'config: base.yaml\ntune: {num_samples: "16"}\n',
            'line 2: tune.num_samples: must be an integer, found "16" (text; remove the quotes)',
        ),
        (
            "config: base.yaml\ntune: {num_samples: true}\n",
            "line 2: tune.num_samples: must be an integer, found true (boolean)",
        ),
        (
            "config: base.yaml\ntune: {num_samples: 1, max_concurrent_trials: many}\n",
            'line 2: tune.max_concurrent_trials: must be "auto" or an integer, '
            'found "many" (text)',
        ),
        (
            "config: base.yaml\ntune: {num_samples: 1, time_budget: 2 weeks}\n",
            "line 2: tune.time_budget: must be seconds or a text such as 90s, 30m, 4h, "
            'found "2 weeks"',
        ),
        (
            "config: base.yaml\ntune: {num_samples: 1, search_alg: {n_startup_trials: 3}}\n",
            "line 2: tune.search_alg.n_startup_trials: "
            "not a key of search_alg random; it belongs to cmaes, gp, tpe",
        ),
        ("tune: {num_samples: 1}\n", "config: required key is missing"),
        (
            "config: 3\ntune: {num_samples: 1}\n",
            "line 1: config: must be the path of a training config or the config itself, found 3",
        ),
        (
            "config: base.yml\ntune: {num_samples: 1}\n",
            "line 1: config: files/base.yml: no such file",
        ),
        (
            "config: base.yaml\nspace: {optimizer: {learning_rate: {uniform: [0, 1]}}}\n"
            "tune: {num_samples: 1}\n",
            "line 2: space.optimizer.learning_rate: "
            "must be part of one dotted key, not a mapping in a mapping",
        ),
        (
            "config: base.yaml\nspace: {optimizer.lr: {uniform: [0.1, 1]}}\n"
            "tune: {num_samples: 1}\n",
            'line 2: space.optimizer.lr: unknown key; did you mean "learning_rate"? '
            "(known: args, betas, decay_norm_and_bias, eps, head_lr_factor, layer_decay, "
            "learning_rate, momentum, name, nesterov, weight_decay)",
        ),
        (
            "config: base.yaml\nspace:\n"
            "  training.epochs: {choice: [1], when: {model.name: cnv}}\n"
            "tune: {num_samples: 1}\n",
            "line 3: space.training.epochs.when.model.name: must be a key of the space "
            "(known: training.epochs)",
        ),
        (
            "config: base.yaml\nspace:\n"
            "  training.accumulation_steps: {choice: [1, 4]}\n"
            "  training.batch_size: {choice: [4, 2]}\ntune: {search_alg: grid}\n",
            "line 2: space: some draws break the training config, e.g. "
            "{training.accumulation_steps: 4, training.batch_size: 2}: "
            "training.accumulation_steps: must be at most training.batch_size (2), found 4",
        ),
    ],
)
def test_a_refusal_states_where_the_rule_and_the_value(text, problem):
    assert refused(text) == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("parameters: {}", "parameters: unknown key; here it is space"),
        ("method: bayes", "method: unknown key; here it is tune.search_alg"),
        ("early_terminate: {}", "early_terminate: unknown key; here it is tune.scheduler"),
        ("launcher: slurm", "launcher: unknown key; there is none"),
        ("n_trials: 3", "n_trials: unknown key; here it is tune.num_samples"),
        ("metric: val_acc", 'metric: unknown key; did you mean "tune.metric"?'),
        ("tune: {maxTrialNumber: 3}", "tune.maxTrialNumber: unknown key; here it is "
         "tune.num_samples"),
        ("tune: {num_samples: 1, searcher: tpe}", "tune.searcher: unknown key; here it is "
         "tune.search_alg"),
        ("tune: {num_samples: 1, optuna: {}}", "tune.optuna: unknown key; here it is "
         "tune.search_alg: tpe, or {name: optuna, sampler: ...}"),
        ("tune: {num_samples: 1, scheduler: {name: asha, eta: 3}}",
         'tune.scheduler.eta: unknown key; did you mean "reduction_factor"? '
         "(known: brackets, grace_period, max_t, name, reduction_factor)"),
        ("tune: {num_samples: 1, scheduler: async_hyperband}",
         'tune.scheduler.name: unknown name, found "async_hyperband"; did you mean "asha"? '
         "(known: asha, bohb, fifo, hyperband, median, pb2, pbt)"),
        ("space: {lr: {uniform: [0.1, 1]}}",
         'space.lr: unknown key; did you mean "optimizer.learning_rate"?'),
        ("space: {optimizer.lr: {uniform: [0.1, 1]}}",
         'space.optimizer.lr: unknown key; did you mean "learning_rate"? '
         "(known: args, betas, decay_norm_and_bias, eps, head_lr_factor, layer_decay, "
         "learning_rate, momentum, name, nesterov, weight_decay)"),
    ],
)  # fmt: skip
def test_a_key_of_another_tool_leads_to_the_one_here(line, problem):
    lines = refused(f"config: base.yaml\n{line}\n")
    assert any(text.partition(": ")[2] == problem for text in lines), lines


def test_a_truth_value_as_a_name_is_to_be_put_in_quotes():
    assert refused("name: true\nconfig: base.yaml\ntune: {num_samples: 1}\n") == [
        "line 1: name: must be text, found true (boolean; put it in quotes)"
    ]


GRID_KEY = "optimizer.learning_rate: {grid: [0.1, 0.2]}"
RANGE_KEY = "optimizer.weight_decay: {uniform: [0, 1]}"


@pytest.mark.parametrize(
    ("space", "tune", "problem"),
    [
        (
            f"{GRID_KEY}, {RANGE_KEY}",
            "search_alg: grid",
            "line 3: tune.search_alg: "
            "grid takes choice and grid only, found uniform for optimizer.weight_decay",
        ),
        (
            f"{GRID_KEY}, {RANGE_KEY}",
            "search_alg: tpe, num_samples: 3",
            "line 3: tune.search_alg: "
            "tpe takes no grid, found one for optimizer.learning_rate; write choice",
        ),
        (
            GRID_KEY,
            "search_alg: grid, num_samples: 3",
            "line 3: tune.num_samples: must be at most the size of the grid (2), found 3",
        ),
        (
            "",
            "num_samples: 3, scheduler: {name: asha, grace_period: 10}",
            "line 3: tune.scheduler.grace_period: must be at most training.epochs (9), found 10",
        ),
        (
            "",
            "num_samples: 3, scheduler: {name: asha, max_t: 10}",
            "line 3: tune.scheduler.max_t: must be at most training.epochs (9), found 10",
        ),
        (
            "",
            "num_samples: 3, scheduler: {name: asha, max_t: 4, grace_period: 5}",
            "line 3: tune.scheduler.grace_period: must be at most max_t (4), found 5",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused_with_the_reason(space, tune, problem):
    assert refused(f"config: base.yaml\nspace: {{{space}}}\ntune: {{{tune}}}\n") == [problem]


def test_a_grid_far_too_large_is_refused():
    values = list(range(1, 60))
    space = {f"training.{key}": {"grid": values} for key in ("batch_size", "test_frequency")}
    space["dataset.seed"] = {"grid": values}
    with pytest.raises(ConfigError, match="space: must have at most 100000 points in its grid"):
        parse_search({"config": BASE, "space": space, "tune": {"search_alg": "grid"}})


def test_a_schedulers_limits_follow_the_swept_epochs():
    space = "training.epochs: {choice: [12, 20]}"
    tune = "num_samples: 3, scheduler: {name: asha, max_t: 20, grace_period: 15}"
    assert load(f"config: base.yaml\nspace: {{{space}}}\ntune: {{{tune}}}\n").max_epochs == 20


def test_problems_of_the_training_config_name_its_file():
    config = CONFIG.replace("learning_rate", "learning_rat").replace("epochs: 9", "epochs: 0")
    assert refused(SEARCH.replace("16", "0"), config) == [
        "line 2: config: files/base.yaml: line 3: training.epochs: must be > 0, found 0",
        "line 2: config: files/base.yaml: line 4: optimizer.learning_rate: required key is "
        "missing; config must be complete without the space",
        "line 2: config: files/base.yaml: line 4: optimizer.learning_rat: unknown key; did you "
        'mean "learning_rate"? (known: args, decay_norm_and_bias, head_lr_factor, '
        "layer_decay, learning_rate, momentum, name, nesterov, weight_decay)",
        "line 9: tune.num_samples: must be > 0, found 0",
    ]


def test_problems_of_a_training_config_in_the_search_file_have_its_lines():
    text = "tune: {num_samples: 1}\nconfig:\n  " + CONFIG.replace("\n", "\n  ").rstrip() + "\n"
    assert refused(text.replace("learning_rate: 0.1", "learning_rate: -1")) == [
        "line 6: config.optimizer.learning_rate: must be > 0, found -1"
    ]


def test_a_problem_of_the_training_config_hides_none_of_the_space():
    config = CONFIG.replace("epochs: 9", "epochs: 0")
    assert refused(SEARCH.replace("uniform: [0.8, 0.99]", "uniform: [0.8, 1.5]"), config) == [
        "line 2: config: files/base.yaml: line 3: training.epochs: must be > 0, found 0",
        "line 7: space.optimizer.momentum: must be < 1, found 1.5",
    ]


def keys_of(data, path=()):
    for key, value in data.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*path, key))


def renamed(data, path, name):
    first, *rest = path
    if not rest:
        return {name if key == first else key: value for key, value in data.items()}
    return {key: renamed(v, rest, name) if key == first else v for key, v in data.items()}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_wrong_character_in_any_key_is_reported_with_that_key(data):
    good = {**parse_yaml(SEARCH, "search").data, "config": BASE}
    path = data.draw(st.sampled_from(list(keys_of(good))))
    name = path[-1]
    at = data.draw(st.integers(0, len(name) - 1))
    wrong = name[:at] + data.draw(st.sampled_from("xz_")) + name[at + 1 :]
    if wrong == name:
        return
    with pytest.raises(ConfigError) as caught:
        parse_search(renamed(good, path, wrong))
    assert any(wrong in problem.key or wrong in problem.rule for problem in caught.value.problems)
