"""Checks of a scheduler against the rest of the search file."""

from typing import Any

import pytest

from sweeps.spec.load import parse_search
from sweeps.spec.schedulers import MUTABLE_KEYS
from trainable.errors import ConfigError

LR = "optimizer.learning_rate"
CAN_CHANGE = ", ".join(MUTABLE_KEYS)
POPULATIONS = ("pbt", "pb2")
PAUSING = ("hyperband", "pbt", "pb2")


def search(
    scheduler: Any,
    *,
    space: dict[str, Any] | None = None,
    checkpoint: bool = True,
    epochs: int = 9,
    **tune: Any,
) -> dict[str, Any]:
    """A search file with 8 trials of 9 epochs as plain values."""
    return {
        "name": "checked",
        "config": {
            "dataset": {"name": "digits"},
            "model": {"name": "resnet20"},
            "training": {"epochs": epochs},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "checkpoint": {"enabled": checkpoint},
        },
        "space": space or {LR: {"loguniform": [1e-3, 1.0]}},
        "tune": {"num_samples": 8, "scheduler": scheduler, **tune},
    }


def problems(scheduler: Any, **more: Any) -> list[str]:
    """The problems of a search file, one line each."""
    with pytest.raises(ConfigError) as caught:
        parse_search(search(scheduler, **more))
    _, *lines = str(caught.value).splitlines()
    return [line.strip() for line in lines]


def written(scheduler: Any, **more: Any) -> dict[str, Any]:
    """The scheduler's section as the resolved search file has it."""
    data = parse_search(search(scheduler, **more)).to_dict()
    section: dict[str, Any] = data["tune"]["scheduler"]
    return section


# ---------------------------------------------------------------------------- accepted


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("fifo", {}),
        ("asha", {"grace_period": 1, "reduction_factor": 4.0, "brackets": 1, "max_t": None}),
        ("hyperband", {"reduction_factor": 3.0, "max_t": None}),
        ("median", {"grace_period": 1, "min_samples_required": 3}),
        (
            "pbt",
            {
                "perturbation_interval": 2,
                "quantile_fraction": 0.25,
                "hyperparam_mutations": None,
                "resample_probability": 0.25,
                "perturbation_factors": [1.2, 0.8],
            },
        ),
        (
            "pb2",
            {"perturbation_interval": 2, "quantile_fraction": 0.25, "hyperparam_bounds": None},
        ),
    ],
)
def test_a_scheduler_by_its_name_alone_has_every_default_written_out(
    name: str, defaults: dict[str, Any]
) -> None:
    assert written(name) == {"name": name, **defaults}
    assert written({"name": name}) == written(name)


def test_every_mutable_key_is_accepted() -> None:
    space = {
        "loss.label_smoothing": {"uniform": [0.0, 0.2]},
        "optimizer.eps": {"loguniform": [1e-9, 1e-7]},
        LR: {"loguniform": [1e-3, 1.0]},
        "optimizer.weight_decay": {"loguniform": [1e-5, 1e-2]},
        "optimizer.layer_decay": {"uniform": [0.65, 1.0]},
        "optimizer.head_lr_factor": {"loguniform": [1.0, 20.0]},
        "optimizer.decay_norm_and_bias": {"choice": [True, False]},
        "augment.randaugment.magnitude": {"uniform": [0.0, 30.0]},
        "augment.mixup": {"choice": [None, {"alpha": 0.2}]},
        "training.batch_size": {"randint": [32, 65]},
        "training.clip_grad": {"choice": [{"norm": 1.0}, {"norm": 5.0}]},
    }
    data = search({"name": "pbt", "hyperparam_mutations": list(space)}, space=space)
    data["config"]["optimizer"]["name"] = "adam"
    data["config"]["loss"] = {"name": "cross_entropy"}
    parse_search(data)
    momentum = search("pb2", space={"optimizer.momentum": {"uniform": [0.5, 0.99]}})
    parse_search(momentum)
    others = {key for key in space if not key.startswith("augment.")}
    expected = {*others, "augment.*", "optimizer.momentum", "ema.decay", "loss.gamma"}
    assert expected == set(MUTABLE_KEYS)


@pytest.mark.parametrize("name", PAUSING)
def test_a_limit_that_admits_all_trials_is_accepted(name: str) -> None:
    assert parse_search(search(name, max_concurrent_trials=8)).tune.max_concurrent_trials == 8


def test_a_population_may_take_its_first_values_from_a_grid() -> None:
    space = {LR: {"grid": [0.1, 0.2, 0.3, 0.4]}}
    spec = parse_search(search("pbt", space=space, search_alg="grid", num_samples=4))
    assert spec.tune.num_samples == 4


def test_keys_that_cannot_change_are_accepted_beside_mutated_ones() -> None:
    space = {
        LR: {"loguniform": [1e-3, 1.0]},
        "model.name": {"choice": ["resnet20", "resnet32"]},
        "optimizer.momentum": {"uniform": [0.5, 0.9], "when": {"model.name": "resnet20"}},
    }
    parse_search(search({"name": "pbt", "hyperparam_mutations": [LR]}, space=space))


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize("name", PAUSING)
def test_a_scheduler_that_pauses_trials_needs_checkpoints(name: str) -> None:
    assert problems(name, checkpoint=False) == [
        f"tune.scheduler: {name} pauses trials and needs checkpoint.enabled: true in the "
        "training config"
    ]


@pytest.mark.parametrize("name", ["fifo", "asha", "median"])
def test_a_scheduler_that_pauses_no_trial_needs_no_checkpoints(name: str) -> None:
    parse_search(search(name, checkpoint=False))


@pytest.mark.parametrize("name", PAUSING)
def test_a_limit_below_the_population_is_refused(name: str) -> None:
    assert problems(name, max_concurrent_trials=4) == [
        f"tune.max_concurrent_trials: must be auto, or at least num_samples (8), under {name}, "
        "whose trials wait for one another; resources limits how many run, found 4"
    ]


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_holds_out_the_same_images(name: str) -> None:
    space = {LR: {"loguniform": [1e-3, 1.0]}, "dataset.val_split": {"choice": [0.1, 0.2]}}
    (problem,) = problems(name, space=space)
    assert problem.startswith(
        f"space.dataset.val_split: cannot differ between trials under {name}: a trial that takes"
    )


@pytest.mark.parametrize("name", POPULATIONS)
def test_tpe_cannot_learn_from_values_that_change(name: str) -> None:
    assert problems(name, search_alg="tpe") == [
        f"tune.search_alg: tpe learns from fixed values; {name} changes them"
    ]


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_of_one_is_refused(name: str) -> None:
    assert problems(name, num_samples=1) == [
        f"tune.num_samples: must be at least 2, a population, under {name}"
    ]


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_space_without_a_mutable_key_is_refused(name: str) -> None:
    space = {"model.name": {"choice": ["resnet20", "resnet32"]}}
    assert problems(name, space=space) == [
        f"tune.scheduler: the space has no key that {name} can change ({CAN_CHANGE})"
    ]


@pytest.mark.parametrize(
    ("name", "key"), [("pbt", "hyperparam_mutations"), ("pb2", "hyperparam_bounds")]
)
def test_keys_that_cannot_be_mutated_are_refused_with_a_reason(name: str, key: str) -> None:
    def refused(keys: list[str], **space: Any) -> list[str]:
        given = {LR: {"loguniform": [1e-3, 1.0]}, **space}
        return problems({"name": name, key: keys}, space=given)

    assert refused(["optimizer.lerning_rate"]) == [
        f'tune.scheduler.{key}: must be keys of the space, found "optimizer.lerning_rate"; '
        'did you mean "optimizer.learning_rate"? (known: optimizer.learning_rate)'
    ]
    sizes = {"training.epochs": {"randint": [5, 10]}}
    assert refused([LR, "training.epochs"], **sizes) == [
        f"tune.scheduler.{key}: training.epochs cannot change during training "
        f"(keys that can: {CAN_CHANGE})"
    ]
    assert refused(["ema.enabled"], **{"ema.enabled": {"choice": [True, False]}}) == [
        f"tune.scheduler.{key}: ema.enabled cannot change during training: a checkpoint has "
        "averaged weights or it has none; ema.decay can change"
    ]
    conditional = {
        "model.name": {"choice": ["resnet20", "resnet32"]},
        "optimizer.momentum": {"uniform": [0.5, 0.9], "when": {"model.name": "resnet20"}},
    }
    assert refused(["optimizer.momentum"], **conditional) == [
        f"tune.scheduler.{key}: optimizer.momentum has a when; a key that changes must exist in "
        "every trial"
    ]


@pytest.mark.parametrize("kind", ["choice", "grid"])
def test_pb2_needs_ranges_and_pbt_accepts_lists(kind: str) -> None:
    space = {LR: {kind: [0.01, 0.1]}}
    assert problems("pb2", space=space) == [
        f"tune.scheduler.hyperparam_bounds: pb2 needs a range, found {kind} for {LR}"
    ]
    parse_search(search("pbt", space=space))


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("interval", [9, 10])
def test_an_interval_as_long_as_a_trial_is_refused(name: str, interval: int) -> None:
    scheduler = {"name": name, "perturbation_interval": interval}
    assert problems(scheduler) == [
        "tune.scheduler.perturbation_interval: must be below training.epochs (9), "
        f"found {interval}"
    ]
    assert written({"name": name, "perturbation_interval": 8})["perturbation_interval"] == 8


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_grace_period_beyond_the_last_epoch_is_refused(name: str) -> None:
    assert problems({"name": name, "grace_period": 10}) == [
        "tune.scheduler.grace_period: must be at most training.epochs (9), found 10"
    ]
    assert written({"name": name, "grace_period": 9})["grace_period"] == 9


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_a_max_t_beyond_the_last_epoch_is_refused(name: str) -> None:
    assert problems({"name": name, "max_t": 10}) == [
        "tune.scheduler.max_t: must be at most training.epochs (9), found 10"
    ]
    assert written({"name": name, "max_t": 9})["max_t"] == 9


def test_a_grace_period_beyond_max_t_is_refused() -> None:
    assert problems({"name": "asha", "max_t": 4, "grace_period": 5}) == [
        "tune.scheduler.grace_period: must be at most max_t (4), found 5"
    ]


def test_limits_are_compared_with_the_largest_number_of_epochs() -> None:
    space = {LR: {"uniform": [0.1, 0.2]}, "training.epochs": {"choice": [5, 30]}}
    scheduler = {"name": "pbt", "perturbation_interval": 30, "hyperparam_mutations": [LR]}
    assert problems(scheduler, space=space) == [
        "tune.scheduler.perturbation_interval: must be below training.epochs (30), found 30"
    ]
    assert written({**scheduler, "perturbation_interval": 29}, space=space)


@pytest.mark.parametrize(
    ("scheduler", "problem"),
    [
        ({"name": "pbt", "quantile_fraction": 0.6}, "quantile_fraction: must be <= 0.5"),
        ({"name": "pb2", "quantile_fraction": 0.0}, "quantile_fraction: must be > 0"),
        ({"name": "pbt", "perturbation_interval": 0}, "perturbation_interval: must be > 0"),
        ({"name": "pbt", "resample_probability": 1.5}, "resample_probability: must be <= 1"),
        ({"name": "pbt", "perturbation_factors": [1.2]}, "perturbation_factors: must have"),
        ({"name": "pbt", "perturbation_factors": [1.2, 0.0]}, "must be > 0"),
        (
            {"name": "pb2", "resample_probability": 0.1},
            "resample_probability: not a key of scheduler pb2; it belongs to pbt",
        ),
        (
            {"name": "median", "max_t": 3},
            "max_t: not a key of scheduler median; it belongs to asha, bohb, hyperband",
        ),
        ({"name": "hyperband", "reduction_factor": 1}, "reduction_factor: must be > 1"),
        ({"name": "median", "min_samples_required": 0}, "min_samples_required: must be > 0"),
        ({"name": "median", "min_samples_required": 8}, "must be below num_samples (8), or no"),
        ({"name": "asha", "brackets": 3}, "brackets: must be at most 2, those that have a rung"),
        ({"name": "medain"}, 'did you mean "median"?'),
    ],
)
def test_a_setting_outside_its_rule_is_refused(scheduler: dict[str, Any], problem: str) -> None:
    (line,) = problems(scheduler)
    assert line.startswith("tune.scheduler")
    assert problem in line


def test_all_problems_are_listed_together() -> None:
    lines = problems(
        {"name": "pbt", "perturbation_interval": 9, "hyperparam_mutations": ["optimizer.eps"]},
        checkpoint=False,
        search_alg="tpe",
        num_samples=1,
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "tune.scheduler.perturbation_interval",
        "tune.scheduler",
        "tune.search_alg",
        "tune.num_samples",
        "tune.scheduler.hyperparam_mutations",
    ]
