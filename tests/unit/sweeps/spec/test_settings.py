"""`resources`: what each trial gets; `tune.metric`: what trials can be ranked by."""

from typing import Any

import pytest
from pydantic import ValidationError

from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import Resources, count_begun
from sweeps.sweep_dir.records import TrialRecord
from trainable.errors import ConfigError


def test_the_old_name_of_a_shared_process_is_still_read_with_a_line_that_names_the_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    resources = Resources(gpu=0.5, process="card")  # type: ignore[arg-type]
    assert resources.process == "shared"
    assert [record.getMessage() for record in caplog.records] == [
        'note: resources.process: "card" is now "shared"'
    ]


def test_trials_with_whole_gpus_share_no_process() -> None:
    message = r"must be trial where a trial has whole GPUs \(gpu 1\), found shared"
    with pytest.raises(ValidationError, match=message):
        Resources(gpu=1, process="shared")


CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 2},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def spec_of(metrics: list[str], **tune: Any) -> SearchSpec:
    tune = {"num_samples": 1, "seed": 1, **tune}
    return parse_search({"config": {**CONFIG, "metrics": metrics}, "space": {}, "tune": tune})


@pytest.mark.parametrize(
    ("metrics", "metric", "mode"),
    [
        (["f1_macro"], "val_f1_macro", "max"),
        (["top5", "mcc"], "val_mcc", "max"),
        (["my:Ece:min"], "val_Ece", "min"),
        (["my:Top"], "val_Top", "max"),
    ],
)
def test_a_sweep_can_be_ranked_by_a_metric_that_its_trainings_measure(
    metrics: list[str], metric: str, mode: str
) -> None:
    spec = spec_of(metrics, metric=metric)
    assert spec.tune.metrics == {metric: mode}
    assert spec.logged_metrics[metric] == mode
    again = parse_search(spec.to_dict(), is_recorded=True)
    assert again.tune.mode == mode
    assert spec_of(metrics, pareto={metric: mode}).tune.metrics == {"val_acc": "max", metric: mode}


@pytest.mark.parametrize(
    ("metrics", "tune", "key", "rule"),
    [
        ([], {"metric": "val_f1_macro"}, "tune.metric", '"val_f1_macro" is not measured; add this '
         "line to the training config: metrics: [f1_macro]"),
        (["top5"], {"pareto": {"val_auroc": "max"}}, "tune.pareto.val_auroc", '"val_auroc" is not '
         "measured; add this line to the training config: metrics: [top5, auroc]"),
        (["f1_macro"], {"metric": "val_f1macro"}, "tune.metric",
         'unknown name, found "val_f1macro"; did you mean "val_f1_macro"? (measured: train_loss, '
         "train_acc, val_loss, val_acc, best_acc, val_f1_macro)"),
        (["f1_macro"], {"metric": "f1_macro"}, "tune.metric",
         'unknown name, found "f1_macro"; did you mean "val_f1_macro"?'),
        (["f1_macro"], {"metric": "val_f1_macro", "mode": "min"}, "tune.mode",
         'must be "max" for val_f1_macro, found "min": write mode: max or leave it out, or take '
         "another metric (train_loss, val_loss)"),
        (["f1_macro"], {"metric": "val_f1_macro", "target": 95}, "tune.target",
         "must be above 0 and at most 1 for val_f1_macro, a fraction, found 95; 95 % is 0.95"),
        (["confusion_matrix"], {"metric": "val_confusion_matrix"}, "tune.metric",
         'unknown name, found "val_confusion_matrix" (measured: train_loss, train_acc, val_loss, '
         "val_acc, best_acc)"),
    ],
)  # fmt: skip
def test_a_metric_that_no_training_measures_is_refused_with_the_remedy(
    metrics: list[str], tune: dict[str, Any], key: str, rule: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(metrics, **tune)
    assert [(problem.key, problem.rule) for problem in caught.value.problems] == [(key, rule)]


def test_metrics_are_the_same_for_every_trial() -> None:
    data = {"config": CONFIG, "space": {"metrics": {"choice": [["auroc"], ["mcc"]]}}}
    with pytest.raises(ConfigError, match="must not be swept, it is the same for every trial"):
        parse_search({**data, "tune": {"num_samples": 1}})


def records_of(searched: int, *, added: int = 0, final: int = 0) -> list[TrialRecord]:
    kinds: list[dict[str, bool]] = [{}] * searched + [{"added": True}] * added
    kinds += [{"final": True}] * final
    return [
        TrialRecord(f"t{number}", number, f"t{number}", {}, **kind)
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("tune", "added", "created", "total"),
    [
        ({}, 0, [], 6),
        ({}, 0, records_of(4), 6),
        ({}, 0, records_of(9), 9),  # `num_samples` was lowered since
        ({}, 1, records_of(4, added=2), 8),
        ({}, 1, records_of(8, added=2), 10),
        ({"final": {"top": 2, "repeats": 5}}, 0, records_of(6, final=5), 16),
        ({"final": {"top": 4, "repeats": 5}}, 0, records_of(6), 21),
        ({"final": {"top": 4, "repeats": 5}}, 2, records_of(6, added=4, final=1), 30),
        ({"final": {"top": 4, "repeats": 5}}, 0, records_of(7, final=1), 27),
    ],
)
def test_the_number_of_trials_follows_from_the_file_and_from_those_that_exist(
    tune: dict[str, Any], added: int, created: list[TrialRecord], total: int
) -> None:
    spec = spec_of([], **{"num_samples": 3, "repeats": 2, **tune})
    assert spec.count_trials(added, created) == total
    assert spec.count_trials(added, iter(created)) == total


def test_trials_of_final_and_added_ones_are_not_trials_of_the_search() -> None:
    assert count_begun(records_of(3, added=2, final=4)) == 3
