"""One `validate` of another tool's file says how each of its keys is written here."""

import pytest

from sweeps.spec.validation.foreign_sections import explain_foreign_sections
from trainable.config.yaml_reader import parse_yaml

WANDB = """\
method: bayes
metric: {name: val_loss, goal: minimize, target: 0.1}
early_terminate: {type: hyperband, min_iter: 1, eta: 3}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 0.001, max: 1.0}
  old: {distribution: log_uniform, min: -6.9, max: 0}
  batch_size: {values: [32, 64]}
  epochs: {value: 3}
"""
NNI = """\
searchSpace:
  lr: {_type: loguniform, _value: [0.001, 1.0]}
tuner: {name: TPE, classArgs: {optimize_mode: maximize}}
assessor: {name: Medianstop, classArgs: {start_step: 2}}
trainingService: {platform: local, maxTrialNumberPerGpu: 2}
"""
DETERMINED = """\
searcher: {name: adaptive_asha, max_trials: 16, max_time: 9, divisor: 3, max_concurrent_trials: 2}
hyperparameters:
  optimizer: {type: categorical, vals: [sgd, adamw]}
  layers: {type: int, minval: 2, maxval: 5}
"""
LUDWIG = """\
hyperopt:
  goal: maximize
  search_alg: {type: optuna}
  executor: {num_samples: 16, scheduler: {type: async_hyperband, max_t: 9}}
  parameters:
    trainer.optimizer.type: {space: choice, categories: [sgd, adamw]}
    trainer.batch_size: {space: grid_search, values: [32, 64]}
    trainer.learning_rate: {space: loguniform, lower: 0.001, upper: 1}
"""


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        (
            WANDB,
            [
                "1 method: here it is tune.search_alg: gp",
                "2 metric.name: here it is tune.metric",
                "2 metric.goal: here it is tune.mode, which follows from the metric",
                "2 metric.target: here it is tune.target",
                "3 early_terminate.type: here it is tune.scheduler: asha",
                "3 early_terminate.min_iter: here it is tune.scheduler.grace_period",
                "3 early_terminate.eta: here it is tune.scheduler.reduction_factor",
                "5 parameters.learning_rate: is written optimizer.learning_rate: "
                "{loguniform: [0.001, 1.0]} in space here",
                "6 parameters.old: is written KEY: {loguniform: [0.001008, 1.0]} in space here",
                "7 parameters.batch_size: is written training.batch_size: "
                "{choice: [32, 64]} in space here",
                "8 parameters.epochs: is a constant, which belongs in config",
            ],
        ),
        (
            NNI,
            [
                "2 searchSpace.lr: is written optimizer.learning_rate: "
                "{loguniform: [0.001, 1.0]} in space here",
                "3 tuner.name: here it is tune.search_alg: tpe",
                "3 tuner.classArgs.optimize_mode: here it is tune.mode, which follows from the "
                "metric",
                "4 assessor.name: here it is tune.scheduler: median",
                "4 assessor.classArgs.start_step: here it is tune.scheduler.grace_period",
                "5 trainingService.maxTrialNumberPerGpu: here it is resources.gpu, e.g. 0.5 for "
                "two trials on a GPU",
            ],
        ),
        (
            DETERMINED,
            [
                "1 searcher.name: here it is tune.scheduler: asha",
                "1 searcher.max_trials: here it is tune.num_samples",
                "1 searcher.max_time: here it is config.training.epochs",
                "1 searcher.divisor: here it is tune.scheduler.reduction_factor",
                "1 searcher.max_concurrent_trials: here it is tune.max_concurrent_trials",
                '3 hyperparameters.optimizer: is written optimizer.name: {choice: ["sgd", '
                '"adamw"]} in space here',
                "4 hyperparameters.layers: is written KEY: {randint: [2, 6]} in space here",
            ],
        ),
        (
            LUDWIG,
            [
                "2 hyperopt.goal: here it is tune.mode, which follows from the metric",
                "3 hyperopt.search_alg.type: here it is tune.search_alg: tpe",
                "4 hyperopt.executor: here it is tune, resources and failure",
                "4 hyperopt.executor.num_samples: here it is tune.num_samples",
                "4 hyperopt.executor.scheduler.type: here it is tune.scheduler: asha",
                "4 hyperopt.executor.scheduler.max_t: here it is tune.scheduler.max_t",
                "5 hyperopt.parameters: here it is space",
                "6 hyperopt.parameters.trainer.optimizer.type: is written optimizer.name: "
                '{choice: ["sgd", "adamw"]} in space here',
                "7 hyperopt.parameters.trainer.batch_size: is written training.batch_size: "
                "{grid: [32, 64]} in space here",
                "8 hyperopt.parameters.trainer.learning_rate: is written optimizer.learning_rate: "
                "{loguniform: [0.001, 1]} in space here",
            ],
        ),
        ("config: {lr: 1}\nspace: {lr: {type: log}}\n", []),
    ],
    ids=["wandb", "nni", "determined", "ludwig", "own-sections"],
)
def test_every_key_of_a_foreign_file_is_explained(text: str, hints: list[str]) -> None:
    problems = explain_foreign_sections(parse_yaml(text, "theirs.yaml"))
    assert [f"{p.line} {p.key}: {p.rule}" for p in problems] == hints
