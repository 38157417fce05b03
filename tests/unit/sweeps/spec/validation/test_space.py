"""Checks of a space against the training config."""

import copy

import pytest

from sweeps.space.parsing import parse_parameter
from sweeps.space.search_space import grid_points
from sweeps.spec.validation.space import check_configs, check_keys, drop_keys, find_broken_draw

CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 5},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
}


def space_of(written):
    return {key: parse_parameter(value) for key, value in written.items()}


def problems_of(written, config=CONFIG):
    before = copy.deepcopy(config)
    violations = check_configs(space_of(written), (), config)
    assert config == before
    return [(".".join(map(str, path)), rule) for path, rule in violations]


def test_a_space_that_fits_has_no_problems():
    assert not problems_of(
        {
            "optimizer.learning_rate": {"loguniform": [1e-3, 1]},
            "optimizer.name": {"choice": ["sgd", "adamw"]},
            "optimizer.momentum": {"uniform": [0.8, 0.99], "when": {"optimizer.name": "sgd"}},
            "optimizer.betas": {
                "choice": [[0.9, 0.999], [0.8, 0.99]],
                "when": {"optimizer.name": "adamw"},
            },
            "training.batch_size": {"choice": [32, 64]},
            "scheduler.warmup_epochs": {"randint": [0, 5]},
            "dataset.val_split": {"choice": [None, 0.1]},
            "model.name": {"choice": ["resnet20", "cnv"]},
            "seed.value": {"randint": [0, 100]},
        }
    )


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        (
            {"optimizer.learning_rat": {"uniform": [0, 1]}},
            [
                (
                    "optimizer.learning_rat",
                    'unknown key; did you mean "learning_rate"? '
                    "(known: args, decay_norm_and_bias, head_lr_factor, layer_decay, "
                    "learning_rate, momentum, name, nesterov, weight_decay)",
                )
            ],
        ),
        (
            {"optimizer.learning_rate": {"uniform": [-1, 1]}},
            [("optimizer.learning_rate", "must be > 0, found -1.0")],
        ),
        (
            {"optimizer.momentum": {"uniform": [0.5, 1]}},
            [("optimizer.momentum", "must be < 1, found 1.0")],
        ),
        (
            {"optimizer.momentum": {"normal": [0.9, 0.05]}},
            [("optimizer.momentum", "must be < 1, found 1.1")],
        ),
        (
            {"training.batch_size": {"quniform": [32, 128, 32]}},
            [("training.batch_size", "must be an integer, found 32.0 (number)")],
        ),
        (
            {"training.batch_size": {"choice": [32, 0, "64"]}},
            [
                ("training.batch_size", "must be > 0, found 0"),
                (
                    "training.batch_size",
                    'must be an integer, found "64" (text; remove the quotes)',
                ),
            ],
        ),
        (
            {"optimizer.name": {"choice": ["sgd", "SGDW"]}},
            [
                (
                    "optimizer.name",
                    'unknown name, found "SGDW"; did you mean "sgd"? (known: adam, adamw, sgd)',
                )
            ],
        ),
        (
            {"optimizer.name": {"choice": ["sgd", "nadam", "Rms-prop", "kron"]}},
            [
                ("optimizer.name", 'unknown name, found "Rms-prop" (known: adam, adamw, sgd)'),
                (
                    "optimizer.name",
                    'cannot be "kron": its step draws from a stream of random numbers that no '
                    "checkpoint holds, and compiles code",
                ),
            ],
        ),
        (
            {"foo.bar": {"choice": [1]}},
            [
                (
                    "foo.bar",
                    "foo: unknown key (known: amp, augment, checkpoint, dataset, ema, loss, "
                    "metrics, model, optimizer, progress, scheduler, seed, tensorboard, training)",
                )
            ],
        ),
        (
            {"training.epochs.x": {"choice": [1]}},
            [("training.epochs.x", '"epochs" must be a mapping, found 5')],
        ),
        (
            {"optimizer.betas": {"choice": [[0.9, 1.5]]}, "optimizer.name": {"choice": ["adam"]}},
            [("optimizer.betas", "must be < 1, found 1.5")],
        ),
    ],
)
def test_a_value_that_the_config_refuses_is_a_problem_of_its_key(written, problems):
    assert problems_of(written) == problems


def test_a_key_of_some_optimizers_only_is_refused_with_the_missing_condition():
    names = {"choice": ["sgd", "adam", "adamw"]}
    assert problems_of(
        {"optimizer.name": names, "optimizer.momentum": {"uniform": [0.8, 0.9]}}
    ) == [
        (
            "optimizer.momentum",
            "is not a key of optimizer adam; add when: {optimizer.name: sgd}",
        ),
        (
            "optimizer.momentum",
            "is not a key of optimizer adamw; add when: {optimizer.name: sgd}",
        ),
    ]
    eps = {"loguniform": [1e-9, 1e-6], "when": {"optimizer.name": ["sgd", "adam"]}}
    assert problems_of({"optimizer.eps": eps, "optimizer.name": names}) == [
        (
            "optimizer.eps",
            "is not a key of optimizer sgd; add when: {optimizer.name: [adam, adamw]}",
        )
    ]


def test_a_key_that_the_configs_own_optimizer_lacks_says_where_it_belongs():
    assert problems_of({"optimizer.eps": {"loguniform": [1e-9, 1e-6]}}) == [
        ("optimizer.eps", "not a key of optimizer sgd; it belongs to adam, adamw")
    ]


def test_a_name_whose_required_key_is_missing_is_a_problem_of_the_name():
    written = {"scheduler.name": {"choice": ["cosine", "step"]}}
    assert problems_of(written) == [
        ("scheduler.name", 'with "step": scheduler.step_size: required key is missing')
    ]
    written["scheduler.step_size"] = {"randint": [1, 4], "when": {"scheduler.name": "step"}}
    assert problems_of(written) == []


def test_a_value_that_clashes_with_one_of_the_config_is_a_problem_of_its_key():
    config = {**CONFIG, "scheduler": {"warmup_epochs": 3}}
    assert problems_of({"training.epochs": {"choice": [5, 2]}}, config) == [
        (
            "training.epochs",
            "with 2: scheduler.warmup_epochs: must be below training.epochs (2), found 3",
        )
    ]


def test_values_that_clash_with_each_other_are_a_problem():
    written = {
        "training.epochs": {"choice": [2, 5]},
        "scheduler.warmup_epochs": {"randint": [0, 5]},
    }
    assert problems_of(written) == [
        ("scheduler.warmup_epochs", "must be below training.epochs (2), found 4")
    ]


@pytest.mark.parametrize(
    "key",
    [
        "checkpoint.save_frequency",
        "dataset.download",
        "dataset.num_workers",
        "dataset.root",
        "progress.enabled",
        "seed.enabled",
        "tensorboard.enabled",
    ],
)
def test_keys_that_all_trials_share_must_not_be_swept(key):
    value = {"save_frequency": 1, "num_workers": 1, "root": "a"}.get(key.split(".")[1], True)
    assert problems_of({key: {"choice": [value]}}) == [
        (key, "must not be swept, it is the same for every trial; set it in config")
    ]


def test_a_space_may_name_models_of_libraries_and_of_ones_own():
    names = ["resnet20", "timm/resnet18.a1_in1k", "torchvision/resnet18", "mine:build", "mine:net"]
    assert problems_of({"model.name": {"choice": names}}) == []


def test_arguments_are_swept_by_their_dotted_keys():
    own = {**CONFIG, "model": {"name": "mine:build", "args": {"width": 2}}}
    written = {
        "model.args.drop_path_rate": {"uniform": [0, 0.3]},
        "model.args.width": {"choice": [1, 2]},
        "optimizer.learning_rate": {"expr": "0.1 * model.args.width"},
    }
    assert problems_of(written, own) == []
    [(key, rule)] = problems_of({"model.args.drop path": {"uniform": [0, 1]}}, own)
    assert key == "model.args.drop path"
    assert rule == 'model.args: must have names of arguments as keys, found "drop path"'


def test_weights_in_a_space_have_absolute_paths():
    assert problems_of({"model.pretrained": {"choice": [False, "/data/a.pt"]}}) == []
    assert problems_of({"model.pretrained": {"choice": [False, "a.pt"]}}) == [
        ("model.pretrained", "must have absolute paths in a space, found a.pt")
    ]


def test_a_built_in_model_takes_no_arguments():
    assert problems_of({"model.args.width": {"choice": [1]}}) == [
        (
            "model.args.width",
            "model.args: must be empty for resnet20: a built-in model takes none, found width",
        )
    ]


def test_conditions_that_exclude_each_other_are_a_problem():
    written = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "training.batch_size": {"choice": [32, 64], "when": {"optimizer.name": "adamw"}},
        "optimizer.momentum": {
            "uniform": [0, 0.9],
            "when": {"optimizer.name": "sgd", "training.batch_size": 32},
        },
    }
    assert problems_of(written) == [
        ("optimizer.momentum.when", "never holds: no trial has these values together")
    ]


def test_a_configs_own_problems_are_not_repeated_for_the_space():
    broken = {**CONFIG, "training": {"epochs": 0}, "optimizer": {"name": "sgd"}}
    written = {
        "optimizer.learning_rate": {"uniform": [0, 1]},
        "training.batch_size": {"choice": [1, 2]},
    }
    assert problems_of(written, broken) == [("optimizer.learning_rate", "must be > 0, found 0.0")]


def test_a_key_missing_from_the_config_is_not_a_problem_of_the_space():
    lacking = {key: value for key, value in CONFIG.items() if key != "optimizer"}
    assert problems_of({"optimizer.learning_rate": {"loguniform": [0.1, 1]}}, lacking) == []


def test_a_draw_whose_values_clash_is_reported_though_each_value_is_valid():
    written = {
        "training.accumulation_steps": {"choice": [1, 2, 4]},
        "training.batch_size": {"choice": [4, 2]},
    }
    assert problems_of(written) == []
    assert find_broken_draw(grid_points(space_of(written)), CONFIG) == (
        "some draws break the training config, e.g. {training.accumulation_steps: 4, "
        "training.batch_size: 2}: training.accumulation_steps: must be at most "
        "training.batch_size (2), found 4"
    )
    assert find_broken_draw([{"training.batch_size": 6}], CONFIG) is None


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("optimizer.nme", 'unknown key; did you mean "name"? (known: args, betas, decay_nor'),
        ("optimzer.name", 'unknown key; did you mean "optimizer.name"?'),
        ("training.batch.size", 'unknown key; did you mean "batch_size"?'),
        ("xyz.q", "unknown key: a config has no section xyz"),
    ],
)
def test_a_key_that_no_config_has_is_named_with_the_nearest(key: str, rule: str) -> None:
    ((path, text),) = check_keys({key: parse_parameter({"choice": [1, 2]})})
    assert path == (key,)
    assert text.startswith(rule)


def test_dropping_a_key_drops_the_keys_that_depend_on_it() -> None:
    written = {
        "a": {"choice": [1, 2]},
        "b": {"choice": [1, 2], "when": {"a": 1}},
        "c": {"expr": "b + 1"},
        "d": {"choice": [1, 2]},
    }
    space = {key: parse_parameter(parameter) for key, parameter in written.items()}
    assert list(drop_keys(space, {"a"})) == ["d"]
    assert list(drop_keys(space, {"b"})) == ["a", "d"]
