"""Keys that the files of other tools have at the top, and what does the same here.

They are those of W&B sweeps, Optuna, Ray Tune, Hydra, NNI, Determined, Ludwig and Keras Tuner.
"""

from __future__ import annotations

from trainable.config.synonyms import simplify

HERE = "here it is "
"""Begins the hint of a key that has an equivalent."""
_NONE = "there is none"

_KEYS: dict[str, str] = {
    "space": "parameters params param_space search_space hyperparameters",
    "tune.search_alg": "method sampler searcher sweeper tuner algorithm algo search_algorithm "
    "strategy",
    "tune.search_alg: tpe, or {name: optuna, sampler: ...}": "optuna",
    "tune.scheduler": "early_terminate early_termination early_stopping pruner assessor",
    "tune.scheduler.reduction_factor": "eta divisor reduction_factor",
    "tune.scheduler.grace_period": "grace_period min_iter start_step",
    "tune.scheduler.max_t": "max_t max_iter",
    "tune.scheduler: asha": "asha async_hyperband",
    "tune.scheduler: hyperband": "hyperband",
    "tune.num_samples": "n_trials max_trials max_trial_number num_trials trials run_cap count "
    "max_evals n_iter",
    "tune.time_budget": "timeout time_budget_s max_experiment_duration max_duration",
    "tune.max_concurrent_trials": "n_jobs trial_concurrency parallelism max_concurrent "
    "max_parallel max_slots",
    "tune.repeats": "executions_per_trial repeat",
    "tune.metric": "objective monitor optimized_metric",
    "tune.mode, which follows from the metric": "direction goal optimize_mode smaller_is_better "
    "maximize minimize directions",
    "config.training.epochs": "max_epochs max_length max_time num_epochs n_epochs epochs",
    "config.training.max_seconds": "max_trial_duration",
    "config.dataset": "input_features output_features preprocessing",
    "config.training and config.optimizer": "trainer",
    "space and tune": "hyperopt",
    "tune, resources and failure": "executor",
    "resources.cpu and resources.gpu": "resources_per_trial slots_per_trial trial_gpu_number "
    "gpus cpus gpus_per_trial cpus_per_trial cpu_resources_per_trial gpu_resources_per_trial",
    "resources.gpu, e.g. 0.5 for two trials on a GPU": "max_trial_number_per_gpu",
    "failure.max_retries": "max_restarts max_failures",
    "failure": "log_policies",
    "keep.trials": "save_experiment_best",
    "name": "study_name experiment_name project_name sweep_name",
    "config.checkpoint.dir": "directory storage_path local_dir storage output_dir "
    "output_directory experiment_working_directory checkpoint_storage",
    "tune.seed": "random_state random_seed experiment_seed reproducibility",
    "tune.points_to_evaluate": "initial_points enqueue_trial current_best_params",
    "config, a training config instead of a program": "program entrypoint trial_command command "
    "script trainable",
    "--address of the commands": "training_service",
    _NONE: "launcher entity project overwrite reuse_actors defaults hydra tags description labels "
    "workspace trial_code_directory",
}
"""Key of this project -> the keys of other tools that do the same."""

FOREIGN_KEYS = {
    simplify(key): ours if ours == _NONE else HERE + ours
    for ours, keys in _KEYS.items()
    for key in keys.split()
}
"""Other tools' keys, in lower case and without separators -> the hint of the message."""
