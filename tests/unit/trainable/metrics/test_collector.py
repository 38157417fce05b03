"""Every metric equals scikit-learn's on the same predictions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from trainable.config.sections.metrics import METRIC_NAMES, SCORES
from trainable.metrics import collector
from trainable.metrics.collector import MetricCollector

CPU = torch.device("cpu")


def predictions(images, num_classes, *, absent=(), seed=0):
    """Returns logits `[N, C]`, better than chance, and labels that lack some classes."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.tensor([c for c in range(num_classes) if c not in absent])
    labels = present[torch.randint(len(present), (images,), generator=generator)]
    logits = 3 * torch.randn(images, num_classes, generator=generator)
    logits[torch.arange(images), labels] += 2
    return logits, labels


def measure(names, logits, labels, *, batch_size=32):
    pass_ = MetricCollector(names, logits.shape[1], CPU)
    for _ in range(2):  # a second pass begins anew
        pass_.start(len(labels))
        for batch in zip(logits.split(batch_size), labels.split(batch_size), strict=True):
            pass_.add(*batch)
        measured = pass_.compute()
    return measured


def sklearn_scores(logits, labels):
    """Returns every score; those of ranking are means over the classes that have one."""
    probabilities, predicted = logits.softmax(1).numpy(), logits.argmax(1).numpy()
    truth, classes = labels.numpy(), range(logits.shape[1])
    ranked = [c for c in classes if 0 < (truth == c).sum() < len(truth)]
    scores = {
        "auroc": np.mean([sk.roc_auc_score(truth == c, probabilities[:, c]) for c in ranked]),
        "average_precision": np.mean(
            [sk.average_precision_score(truth == c, probabilities[:, c]) for c in ranked]
        ),
        "f1_macro": sk.f1_score(truth, predicted, average="macro", zero_division=0),
        "f1_weighted": sk.f1_score(truth, predicted, average="weighted", zero_division=0),
        "precision_macro": sk.precision_score(truth, predicted, average="macro", zero_division=0),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
        "kappa": sk.cohen_kappa_score(truth, predicted),
        "mcc": sk.matthews_corrcoef(truth, predicted),
    }
    for k in (2, 3, 5, 10):
        labels_of = {"labels": list(classes)} if len(classes) > 2 else {}
        scores[f"top{k}"] = (
            1.0
            if k >= len(classes)
            else sk.top_k_accuracy_score(truth, probabilities, k=k, **labels_of)
        )
    return scores


CASES = [
    pytest.param(500, 10, (), id="all classes"),
    pytest.param(200, 6, (0, 4), id="absent classes"),
    pytest.param(60, 2, (), id="two classes"),
    pytest.param(40, 3, (1,), id="one of three absent"),
    pytest.param(60, 1000, (), id="1000 classes, most of them absent"),
]


@pytest.mark.parametrize(("images", "num_classes", "absent"), CASES)
def test_all_scores_equal_those_of_scikit_learn(images, num_classes, absent):
    logits, labels = predictions(images, num_classes, absent=absent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        expected = sklearn_scores(logits, labels)
    scores = measure(SCORES, logits, labels).scores
    assert scores.keys() == expected.keys()
    assert scores == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("images", "num_classes", "absent"), CASES[:4])
def test_matrix_and_recall_per_class_equal_those_of_scikit_learn(images, num_classes, absent):
    logits, labels = predictions(images, num_classes, absent=absent)
    classes = list(range(num_classes))
    per_class = measure(METRIC_NAMES, logits, labels).per_class
    truth, predicted = labels.numpy(), logits.argmax(1).numpy()
    matrix = sk.confusion_matrix(truth, predicted, labels=classes)
    assert per_class["confusion_matrix"] == matrix.tolist()
    recall = sk.recall_score(truth, predicted, labels=classes, average=None, zero_division=np.nan)
    expected = [None if np.isnan(value) else pytest.approx(value) for value in recall]
    assert per_class["recall_per_class"] == expected


def test_an_absent_class_that_is_predicted_does_not_lower_the_balanced_accuracy():
    logits = torch.eye(3)[[0, 2, 1, 1]]  # class 2 has no image, but is predicted once
    labels = torch.tensor([0, 0, 1, 1])
    assert measure(["balanced_accuracy"], logits, labels).scores == {"balanced_accuracy": 0.75}


def test_a_large_split_is_counted_batch_by_batch(monkeypatch):
    logits, labels = predictions(3000, 20, absent=(3,), seed=1)
    exact = measure(METRIC_NAMES, logits, labels)
    monkeypatch.setattr(collector, "MAX_LOGITS_BYTES", 3000 * 20 * 4 - 1)
    counted = measure(METRIC_NAMES, logits, labels)
    ranking = ("auroc", "average_precision")
    assert counted.per_class == exact.per_class
    for name, value in exact.scores.items():
        assert counted.scores[name] == pytest.approx(value, abs=1e-3 if name in ranking else 1e-12)


def test_one_class_alone_has_no_auroc_and_no_kappa():
    logits, labels = torch.eye(3)[[1, 1]], torch.tensor([1, 1])
    scores = measure(["auroc", "average_precision", "kappa", "mcc", "f1_macro"], logits, labels)
    expected = {"auroc": None, "average_precision": None, "kappa": None, "mcc": 0, "f1_macro": 1}
    assert scores.scores == expected


def test_logits_that_are_nan_are_counted_without_a_failure(monkeypatch):
    logits, labels = torch.full((8, 3), torch.nan), torch.arange(8) % 3
    measure(METRIC_NAMES, logits, labels)
    monkeypatch.setattr(collector, "MAX_LOGITS_BYTES", 0)
    measure(METRIC_NAMES, logits, labels)
