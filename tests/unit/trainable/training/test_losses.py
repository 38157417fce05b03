"""Losses: equal to their definitions, finite, and refused with a wrong config."""

import math

import pytest
import torch
from pydantic import TypeAdapter

from trainable.config import LossConfig
from trainable.config.introspection import names_of, options
from trainable.errors import ConfigError
from trainable.training.losses import build_loss

CLASSES = 5
WEIGHT = [0.5, 1.0, 2.0, 0.0, 3.0]
SETTINGS = [
    {"name": "cross_entropy"},
    {"name": "cross_entropy", "label_smoothing": 0.1, "weight": WEIGHT, "ignore_index": 2},
    {"name": "nll", "weight": WEIGHT, "ignore_index": 1},
    {"name": "mse"},
    {"name": "l1"},
    {"name": "smooth_l1", "beta": 0.5},
    {"name": "bce"},
    {"name": "bce_with_logits", "pos_weight": WEIGHT},
    {"name": "kl_div"},
    {"name": "kl_div", "reduction": "mean"},
    {"name": "kl_div", "reduction": "sum", "log_target": True},
    {"name": "kl_div", "log_target": True},
    {"name": "sqr_hinge"},
]
every_loss = pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values()))
)


def build(settings, num_classes=CLASSES):
    return build_loss(TypeAdapter(LossConfig).validate_python(settings), num_classes)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, CLASSES, generator=generator) * 3
    labels = torch.randint(0, CLASSES, (12,), generator=generator)
    return logits, labels


def cross_entropy_by_definition(settings, log_p, labels):
    w = torch.tensor(settings.get("weight", [1.0] * CLASSES), dtype=torch.float64)
    smoothing = settings.get("label_smoothing", 0.0)
    total = weights = 0.0
    for row, label in enumerate(labels.tolist()):
        if label == settings.get("ignore_index"):
            continue
        total -= (1 - smoothing) * w[label] * log_p[row, label]
        total -= smoothing / CLASSES * (w * log_p[row]).sum()
        weights += w[label]
    return total / weights


def by_definition(settings, logits, labels):
    """The loss in float64, written out."""
    x, t = logits.double(), torch.eye(CLASSES, dtype=torch.float64)[labels]
    log_p, s = x - x.exp().sum(1, keepdim=True).log(), 1 / (1 + (-x).exp())
    difference = (x - t).abs()
    match settings["name"]:
        case "cross_entropy" | "nll":
            return cross_entropy_by_definition(settings, log_p, labels)
        case "mse":
            return (difference**2).mean()
        case "l1":
            return difference.mean()
        case "smooth_l1":
            beta = settings["beta"]
            small = difference**2 / (2 * beta)
            return torch.where(difference < beta, small, difference - beta / 2).mean()
        case "bce" | "bce_with_logits":
            w = torch.tensor(settings.get("pos_weight", [1.0] * CLASSES), dtype=torch.float64)
            return -(w * t * s.log() + (1 - t) * (1 - s).log()).mean()
        case "kl_div":
            # A one-hot target has no entropy, so only the label's own term is left.
            parts = {"batchmean": len(x), "mean": x.numel(), "sum": 1}
            return -(t * log_p).sum() / parts[settings.get("reduction", "batchmean")]
        case "sqr_hinge":
            return ((1 - (2 * t - 1) * x).clamp(min=0) ** 2).mean()


@every_loss
def test_a_loss_equals_its_definition(settings, batch):
    logits, labels = batch
    actual = build(settings)(logits, labels)
    assert actual.shape == ()
    assert actual.dtype == torch.float32
    expected = by_definition(settings, logits, labels)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)


@every_loss
def test_gradients_equal_those_of_the_definition(settings, batch):
    logits, labels = batch
    ours = logits.clone().requires_grad_()
    build(settings)(ours, labels).backward()
    theirs = logits.double().requires_grad_()
    by_definition(settings, theirs, labels).backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1e2, 1e6, 1e15])
@every_loss
def test_huge_logits_keep_loss_and_gradients_finite(settings, size):
    right = torch.eye(CLASSES) * 2 - 1
    logits = (torch.cat([right, -right, torch.zeros_like(right)]) * size).requires_grad_()
    loss = build(settings)(logits, torch.arange(CLASSES).repeat(3))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_bce_still_pulls_where_the_sigmoid_rounds_to_one():
    logits = torch.tensor([[40.0, 40.0]], requires_grad=True)
    build({"name": "bce"}, 2)(logits, torch.tensor([0])).backward()
    assert logits.grad.tolist() == [[0.0, 0.5]]


@every_loss
def test_half_precision_logits_give_a_float32_loss_with_and_without_autocast(settings, batch):
    logits, labels = batch
    logits = logits.bfloat16().requires_grad_()
    loss_fn = build(settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_fn(logits, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    for other in (logits, logits.float()):
        assert loss_fn(other, labels).dtype == torch.float32
        assert loss_fn(other, labels).item() == loss.item()
    assert logits.grad.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "cross_entropy", "ignore_index": 3},
        {"name": "nll", "ignore_index": 3},
        {"name": "cross_entropy", "weight": WEIGHT, "label_smoothing": 0.1},
        {"name": "nll", "weight": WEIGHT},
    ],
)
def test_a_batch_in_which_no_label_counts_does_not_end_in_nan(settings, batch):
    logits = batch[0].requires_grad_()
    loss = build(settings)(logits, torch.full((12,), 3))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    if "label_smoothing" not in settings:
        assert loss.item() == 0
        assert logits.grad.abs().max() == 0


def test_ignored_labels_outside_the_classes_are_left_out(batch):
    logits, labels = batch
    marked = torch.cat([labels, torch.tensor([-100, -100])])
    more = torch.cat([logits, torch.ones(2, CLASSES)])
    for settings in ({"name": "cross_entropy"}, {"name": "nll", "weight": WEIGHT}):
        loss_fn = build(settings)
        assert loss_fn(more, marked).item() == pytest.approx(loss_fn(logits, labels).item())


def test_an_untrained_model_starts_at_the_logarithm_of_the_classes():
    loss = build({"name": "cross_entropy"}, 10)(torch.zeros(4, 10), torch.arange(4))
    assert loss.item() == pytest.approx(math.log(10))


def test_nll_equals_cross_entropy(batch):
    extra = {"weight": WEIGHT, "ignore_index": 0}
    nll, cross_entropy = build({"name": "nll", **extra}), build({"name": "cross_entropy", **extra})
    assert nll(*batch).item() == cross_entropy(*batch).item()


@pytest.mark.parametrize("reduction", ["batchmean", "mean", "sum"])
def test_log_target_changes_how_kl_div_is_computed_and_not_what_it_is(reduction, batch):
    plain = build({"name": "kl_div", "reduction": reduction})
    logarithmic = build({"name": "kl_div", "reduction": reduction, "log_target": True})
    assert logarithmic(*batch).item() == pytest.approx(plain(*batch).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "key"),
    [("cross_entropy", "weight"), ("nll", "weight"), ("bce_with_logits", "pos_weight")],
)
def test_a_wrong_number_of_weights_names_key_expected_and_found(name, key):
    with pytest.raises(ConfigError) as error:
        build({"name": name, key: [1.0, 2.0]}, num_classes=10)
    (problem,) = error.value.problems
    assert problem.key == f"loss.{key}"
    assert problem.rule == "must have one value per class (10), found 2"


def test_class_weights_move_with_the_module_and_are_not_saved():
    for settings in (SETTINGS[1], SETTINGS[7]):
        loss_fn = build(settings)
        assert loss_fn.state_dict() == {}
        assert [b.device.type for b in loss_fn.to("meta").buffers()] == ["meta"]


@pytest.mark.gpu
@every_loss
def test_a_loss_on_cuda_equals_the_cpu_one_without_waiting_for_the_device(settings, batch):
    logits, labels = (tensor.cuda() for tensor in batch)
    loss_fn = build(settings).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.autocast("cuda", dtype=torch.float16):
            loss = loss_fn(logits, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.item() == pytest.approx(build(settings)(*batch).item(), rel=1e-5)


def test_every_loss_of_the_config_is_covered_here():
    names = {name for section in options(LossConfig) for name in names_of(section)}
    assert names == {settings["name"] for settings in SETTINGS}
