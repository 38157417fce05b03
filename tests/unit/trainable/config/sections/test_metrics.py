"""The names in `metrics`, and what can be monitored with them."""

from __future__ import annotations

import pytest

from trainable.config.sections.metrics import (
    FRACTIONS,
    METRIC_NAMES,
    SCORES,
    Score,
    check_metrics,
    explain_unmeasured,
    list_scores,
    monitorable,
)


def test_all_names_can_be_given_together() -> None:
    check_metrics(METRIC_NAMES)
    modes = monitorable(METRIC_NAMES)
    assert list(modes) == ["val_acc", "val_loss", *(f"val_{name}" for name in SCORES)]
    assert modes == {name: "min" if name == "val_loss" else "max" for name in modes}
    assert set(FRACTIONS) < set(SCORES)


def test_an_own_metric_is_named_by_its_last_name_and_says_which_values_are_better() -> None:
    assert list_scores(["confusion_matrix", "my.metrics:Ece:min", "my:maker.Top"]) == [
        Score("Ece", "min", "my.metrics:Ece"),
        Score("Top", "max", "my:maker.Top"),
    ]


@pytest.mark.parametrize(
    ("metrics", "rule"),
    [
        (["f1"], 'unknown name, found "f1"'),
        (["macro_f1"], 'unknown name, found "macro_f1"'),
        (["val_f1_macro"], 'found "val_f1_macro"; did you mean "f1_macro"?'),
        (["my:"], "must be module:callable, or module:callable:min where lower values"),
        (["my:Ece:low"], 'found "my:Ece:low"'),
        (["f1_macro", "auroc", "f1_macro"], "every metric once, found twice: f1_macro"),
        (["a:Ece", "b:Ece"], "found twice: Ece"),
        (["my:loss"], '"my:loss" must have another name: there is a loss already'),
        (["my:auroc"], "there is a auroc already"),
    ],
)
def test_a_wrong_name_is_refused(metrics: list[str], rule: str) -> None:
    with pytest.raises(ValueError, match=r"found|already") as caught:
        check_metrics(metrics)
    assert rule in str(caught.value)


def test_the_remedy_keeps_the_metrics_that_there_are() -> None:
    text = explain_unmeasured("val_mcc", ["auroc", "my:Ece:min"])
    assert text.endswith("add this line to the training config: metrics: [auroc, my:Ece:min, mcc]")
    unknown = explain_unmeasured("val_Ecee", ["my:Ece:min"])
    assert 'did you mean "val_Ece"?' in unknown
    assert unknown.endswith("(measured: val_acc, val_loss, val_Ece)")
