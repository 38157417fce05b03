"""The training config: every documented key and default, and the values it refuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainable.config import (
    MODEL_NAMES,
    DatasetConfig,
    LossConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainConfig,
    load_config,
    parse_config,
)
from trainable.config.introspection import names_of, options
from trainable.config.override import override
from trainable.config.schema import FrozenArguments
from trainable.config.yaml_reader import parse_yaml
from trainable.errors import ConfigError

REQUIRED = """\
dataset: {name: digits}
model: {name: resnet20}
training: {epochs: 50}
optimizer: {name: sgd, learning_rate: 1e-1}
"""


def base() -> dict[str, Any]:
    return parse_yaml(REQUIRED, "base").data


def config(**values: Any) -> TrainConfig:
    """Parses the smallest config with keys set: `optimizer__name="adam"` for `optimizer.name`."""
    return parse_config(override(base(), {k.replace("__", "."): v for k, v in values.items()}))


def problems(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        config(**values)
    return [line.strip() for line in str(raised.value).splitlines()[1:]]


def value_at(section: Any, key: str) -> Any:
    for step in key.split("."):
        section = getattr(section, step)
    return section


# ---------------------------------------------------------------------------- documented keys

DEFAULTS = {
    "seed.enabled": False,
    "seed.value": 42,
    "seed.deterministic": False,
    "seed.threads": None,
    "model.freeze": "none",
    "model.unfreeze_epoch": None,
    "model.batch_norm": "train",
    "dataset.root": "./data",
    "dataset.folds": None,
    "dataset.fold": 0,
    "dataset.download": True,
    "dataset.num_workers": 4,
    "dataset.val_split": None,
    "dataset.seed": 42,
    "dataset.augment": True,
    "dataset.classes": None,
    "dataset.mean": None,
    "dataset.std": None,
    "model.pretrained": False,
    "model.head_init": "small",
    "model.args": FrozenArguments(),
    "model.num_classes": None,
    "model.in_channels": None,
    "loss.name": "cross_entropy",
    "loss.label_smoothing": 0.0,
    "loss.weight": None,
    "loss.ignore_index": -100,
    "training.batch_size": 128,
    "training.test_frequency": 10,
    "training.accumulation_steps": 1,
    "training.cuda_graph": "auto",
    "training.compile": False,
    "training.clip_grad": None,
    "training.sampler": "shuffle",
    "training.early_stopping": None,
    "training.max_seconds": None,
    "training.cache_features": True,
    "training.cached_passes": 8,
    "augment.crop": None,
    "augment.horizontal_flip": None,
    "augment.vertical_flip": 0.0,
    "augment.rotation": 0.0,
    "augment.randaugment": None,
    "augment.trivialaugment": False,
    "augment.autoaugment": None,
    "augment.color_jitter": None,
    "augment.grayscale": 0.0,
    "augment.blur": None,
    "augment.erasing": None,
    "augment.mixup": None,
    "augment.cutmix": None,
    "ema.enabled": False,
    "ema.decay": 0.999,
    "ema.warmup": True,
    "optimizer.weight_decay": 0.0,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": False,
    "optimizer.layer_decay": 1.0,
    "optimizer.head_lr_factor": 1.0,
    "optimizer.decay_norm_and_bias": True,
    "optimizer.args": FrozenArguments(),
    "scheduler.name": "cosine",
    "scheduler.warmup_epochs": 0,
    "scheduler.on": "epoch",
    "scheduler.warmup_steps": 0,
    "scheduler.T_max": None,
    "scheduler.eta_min": 0.0,
    "amp.enabled": False,
    "amp.dtype": "bfloat16",
    "tensorboard.enabled": False,
    "tensorboard.log_dir": "./runs",
    "progress.enabled": True,
    "checkpoint.enabled": False,
    "checkpoint.dir": "./experiments",
    "checkpoint.experiment_name": "",
    "checkpoint.save_frequency": 10,
    "checkpoint.save_best": True,
    "checkpoint.monitor": "val_acc",
    "checkpoint.resume": None,
}
NAMED_DEFAULTS = [
    ("dataset", {"name": "image_folder"},
     {"image_size": None, "interpolation": None, "crop_share": None}),
    ("dataset", {"name": "table", "file": "labels.csv"},
     {"path_column": "path", "label_column": "label", "split_column": "split",
      "group_column": None, "test_split": None, "cache": True, "background": (255, 255, 255)}),
    ("dataset", {"name": "arrays", "file": "data.npz"}, {"layout": None, "test_split": None}),
    ("dataset", {"name": "synthetic"}, {"shape": (3, 32, 32), "num_classes": 10}),
    ("loss", {"name": "nll"}, {"weight": None, "ignore_index": -100}),
    ("loss", {"name": "smooth_l1"}, {"beta": 1.0}),
    ("loss", {"name": "bce_with_logits"}, {"pos_weight": None}),
    ("loss", {"name": "kl_div"}, {"reduction": "batchmean", "log_target": False}),
    ("optimizer", {"name": "adam", "learning_rate": 1e-3},
     {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    ("optimizer", {"name": "adamw", "learning_rate": 1e-3},
     {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}),
    ("scheduler", {"name": "step", "step_size": 3}, {"gamma": 0.1, "warmup_epochs": 0}),
    ("scheduler", {"name": "multistep", "milestones": [3]}, {"gamma": 0.1}),
    ("scheduler", {"name": "exponential"}, {"gamma": 0.95}),
    ("scheduler", {"name": "plateau"},
     {"mode": "max", "factor": 0.1, "patience": 10, "min_lr": 1e-6}),
    ("scheduler", {"name": "none"}, {"warmup_epochs": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "default"), DEFAULTS.items())
def test_a_key_that_is_not_set_has_its_documented_default(key, default):
    value = value_at(config(), key)
    assert value == default
    assert type(value) is type(default)


@pytest.mark.parametrize(("section", "given_values", "defaults"), NAMED_DEFAULTS)
def test_a_named_section_has_its_documented_defaults(section, given_values, defaults):
    parsed = getattr(config(**{section: given_values}), section)
    assert {key: getattr(parsed, key) for key in defaults} == defaults


def test_every_optional_key_is_in_the_table_of_defaults():
    plain = config().to_dict()
    keys = {f"{section}.{key}" for section, values in plain.items() for key in values}
    required = {"dataset.name", "model.name", "training.epochs"}
    assert keys - required - {"optimizer.name", "optimizer.learning_rate"} == set(DEFAULTS)


@pytest.mark.parametrize(
    ("union", "names"),
    [
        (
            DatasetConfig,
            "arrays cifar10 cifar100 digits fashion_mnist image_folder mnist synthetic table",
        ),
        (
            LossConfig,
            "bce bce_with_logits cross_entropy focal kl_div l1 mse nll smooth_l1 sqr_hinge",
        ),
        (OptimizerConfig, "adam adamw sgd"),
        (
            SchedulerConfig,
            "cosine cosine_restarts exponential inverse_sqrt linear multistep none one_cycle "
            "plateau polynomial step",
        ),
    ],
)
def test_every_documented_name_is_known(union, names):
    assert sorted(n for kind in options(union) for n in names_of(kind)) == names.split()


@pytest.mark.parametrize(
    ("name", "file", "endings"),
    [
        ("table", "labels.xlsx", ".csv, .tsv or .parquet"),
        ("table", "labels", ".csv, .tsv or .parquet"),
        ("arrays", "x_train.npy", ".npz or .pt"),
    ],
)
def test_a_file_of_another_kind_is_refused(name, file, endings):
    with pytest.raises(ConfigError, match=f"dataset.file: must end in {endings}, found {file}"):
        config(dataset={"name": name, "file": file})


@pytest.mark.parametrize("name", [*MODEL_NAMES, "my_models:build", "pkg.models:Net.small"])
def test_built_in_and_custom_models_are_accepted(name):
    assert config(model__name=name).model.name == name


@pytest.mark.parametrize(
    "key",
    ["dataset.name", "model.name", "training.epochs", "optimizer.name", "optimizer.learning_rate"],
)
def test_a_missing_required_key_is_reported(key):
    data = base()
    section, name = key.split(".")
    del data[section][name]
    with pytest.raises(ConfigError) as raised:
        parse_config(data)
    assert raised.value.problems[0].key == key
    assert raised.value.problems[0].rule.startswith("required key is missing")


@pytest.mark.parametrize(
    "checkpoint",
    [
        'checkpoint:\n  enabled: true\n  dir: "./experiments"\n  save_best: true',
        'checkpoint:\n  enabled: true\n  experiment_name: ""\n  save_frequency: 5   # often',
        'checkpoint:\n  enabled: true\n  # experiment_name: not set\n  resume: ""',
        'checkpoint:\n  experiment_name: "my_experiment_v1"\n  resume: "./e/x/latest.pt"',
        "checkpoint:\n  experiment_name:\n  resume:",
        "checkpoint:\n  enabled: false",
    ],
)
def test_checkpoint_sections_of_every_documented_form_load(tmp_path, checkpoint):
    path = tmp_path / "c.yaml"
    path.write_text(f"{REQUIRED}{checkpoint}\n")
    section = load_config(path).checkpoint
    assert section.experiment_name in ("", "my_experiment_v1")
    assert section.resume in (None, "./e/x/latest.pt")


# ---------------------------------------------------------------------------- refused values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model__name": "resnet21"}, 'unknown name, found "resnet21"; did you mean "resnet20"?'),
        ({"model__name": "a b:c"}, "model.name: must be a built-in model, timm/NAME"),
        ({"dataset__name": "CIFAR"}, 'dataset.name: unknown name, found "CIFAR"; did you mean "c'),
        ({"dataset__val_split": 1.0}, "dataset.val_split: must be < 1, found 1.0"),
        ({"dataset__shape": [1, 8, 8]}, "shape: not a key of dataset digits; it belongs to synth"),
        ({"seed__value": 2**63}, "seed.value: must be < 9223372036854775808"),
        ({"optimizer__learning_rate": 0}, "optimizer.learning_rate: must be > 0, found 0"),
        ({"optimizer__learnin_rate": 0}, 'unknown key; did you mean "learning_rate"?'),
        ({"optimizer__betas": [0.9, 0.9]}, "betas: not a key of optimizer sgd; it belongs to ada"),
        ({"optimizer__momentum": 1}, "optimizer.momentum: must be < 1, found 1"),
        ({"optimizer__nesterov": True, "optimizer__momentum": 0},
         "optimizer.nesterov: needs a momentum above 0, found 0"),
        ({"training__epochs": "20"}, 'must be an integer, found "20" (text; remove the quotes)'),
        ({"training__accumulation_steps": 130},
         "training.accumulation_steps: must be at most training.batch_size (128), found 130"),
        ({"scheduler__warmup_steps": 5}, "scheduler.warmup_steps: needs scheduler.on: step, fo"),
        ({"scheduler": {"name": "plateau", "on": "step"}},
         'scheduler.on: must be "epoch" for plateau'),
        ({"scheduler__warmup_epochs": 50},
         "scheduler.warmup_epochs: must be below training.epochs (50), found 50"),
        ({"checkpoint__experiment_name": "a/b"}, "checkpoint.experiment_name: must be one dir"),
        ({"checkpoint__dir": "s3://key:hush@a/b"},
         "checkpoint.dir: must not hold a user name or a secret, which the sweep's files would "
         "keep: set them in the environment, found one in s3://a/b"),
        ({"epochs": 3}, 'epochs: unknown key; did you mean "training.epochs"?'),
        ({"training__amp": {}}, "training.amp: unknown key here; it belongs at the top level of"),
        ({"modle": {}}, 'modle: unknown key; did you mean "model"?'),
    ],
)  # fmt: skip
def test_a_value_that_breaks_a_rule_is_refused(values, expected):
    [problem] = problems(**values)
    assert expected in problem


def test_one_wrong_item_of_betas_gives_one_problem():
    optimizer = {"name": "adam", "learning_rate": 1, "betas": [0.9, 1]}
    assert problems(optimizer=optimizer) == ["optimizer.betas[1]: must be < 1, found 1"]


# ---------------------------------------------------------------------------- isolation


def test_a_config_cannot_be_changed_through_the_data_it_was_parsed_from():
    data = base() | {"optimizer": {"name": "adam", "learning_rate": 1, "betas": [0.5, 0.6]}}
    parsed = parse_config(data)
    data["optimizer"]["betas"][0] = 0.1
    data["model"]["name"] = "cnv"
    parsed.to_dict()["optimizer"]["betas"][0] = 0.1
    assert parsed.optimizer.betas == (0.5, 0.6)
    assert parsed.model.name == "resnet20"
    with pytest.raises(ValidationError, match="frozen"):
        parsed.training.epochs = 3
    assert isinstance(hash(parsed), int)


def test_checking_a_config_imports_neither_torch_nor_ray():
    code = "import sys, trainable.config; print({'torch', 'ray', 'numpy'} & set(sys.modules))"
    root = Path(__file__).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"


def test_utils_exports_the_same_function():
    from trainable.utils import load_config as short

    assert short is load_config


def test_a_section_with_nothing_below_it_is_an_empty_one():
    names = ["seed", "loss", "scheduler", "amp", "tensorboard", "progress", "checkpoint"]
    assert config(**dict.fromkeys(names)) == config()
    text = "".join(f"{name}:\n" for name in names)
    assert parse_yaml(text, "empty").data == dict.fromkeys(names)
