"""Losses: equal to their definitions, finite, and refused with a wrong config."""

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from trainable.config import LossConfig
from trainable.config.introspection import names_of, options
from trainable.errors import ConfigError, TuneSweepsError
from trainable.training.losses import balanced_weights, build_loss

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
    {"name": "focal"},
    {"name": "focal", "gamma": 0.5, "weight": WEIGHT},
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
        case "focal":
            w = torch.tensor(settings.get("weight", [1.0] * CLASSES), dtype=torch.float64)
            losses = -w * t * (1 - log_p.exp()) ** settings.get("gamma", 2.0) * log_p
            return losses.sum() / (w * t).sum()


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


@every_loss
def test_one_hot_targets_have_the_loss_and_gradient_of_their_classes(settings, batch):
    """Labels that mixup has not changed must not weigh more or less than others."""
    logits, labels = batch
    settings = {key: value for key, value in settings.items() if key != "ignore_index"}
    loss_fn = build(settings)
    results = []
    for targets in (labels, torch.eye(CLASSES)[labels]):
        own = logits.clone().requires_grad_()
        loss = loss_fn(own, targets)
        loss.backward()
        assert loss.dtype == torch.float32
        results.append((loss.detach(), own.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "cross_entropy", "label_smoothing": 0.1},
        {"name": "cross_entropy", "weight": WEIGHT},
        {"name": "nll", "weight": WEIGHT},
        {"name": "focal", "weight": WEIGHT},
        {"name": "bce"},
        {"name": "bce_with_logits", "pos_weight": WEIGHT},
        {"name": "sqr_hinge"},
    ],
    ids=str,
)
def test_a_mixed_target_has_the_mixed_loss_of_its_classes(settings, batch):
    """As mixup's paper defines it: both labels' losses by their shares."""
    logits, loss_fn = batch[0][:1], build(settings)
    mixed = torch.zeros(1, CLASSES)
    mixed[0, 0], mixed[0, 2] = 0.3, 0.7
    weight = settings.get("weight", [1.0] * CLASSES)
    first, second = (loss_fn(logits, torch.tensor([label])).item() for label in (0, 2))
    shares = 0.3 * weight[0], 0.7 * weight[2]
    expected = (shares[0] * first + shares[1] * second) / sum(shares)
    assert loss_fn(logits, mixed).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_focal_loss_without_focus_is_cross_entropy(weight, batch):
    focal = build({"name": "focal", "gamma": 0.0, "weight": weight})
    cross_entropy = build({"name": "cross_entropy", "weight": weight})
    assert focal(*batch).item() == pytest.approx(cross_entropy(*batch).item(), rel=1e-6)


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 11 + [3])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels.numpy())
    counts = torch.bincount(labels)
    assert balanced_weights(counts, 4).tolist() == pytest.approx(expected.tolist())
    # A model with more classes than the data: these have no image.
    assert balanced_weights(counts, 6).tolist() == pytest.approx([*expected.tolist(), 0, 0])


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "focal"])
def test_balanced_is_the_list_of_balanced_weights(name, batch):
    counts = torch.tensor([3, 1, 4, 1, 5])
    config = TypeAdapter(LossConfig).validate_python({"name": name, "weight": "balanced"})
    weights = balanced_weights(counts, CLASSES).tolist()
    expected = build({"name": name, "weight": weights})(*batch)
    assert build_loss(config, CLASSES, class_counts=counts)(*batch).item() == expected.item()


def test_an_own_loss_gets_its_arguments_and_logits_in_single_precision(batch):
    logits, labels = batch
    own = {"name": "own_losses:Poly1", "args": {"epsilon": 2.0}}
    config = TypeAdapter(LossConfig).validate_python(own)
    loss = build_loss(config, CLASSES, allow_custom=True)(logits.bfloat16(), labels)
    exact = logits.bfloat16().float()
    p = exact.softmax(1)[torch.arange(12), labels]
    expected = torch.nn.functional.cross_entropy(exact, labels) + 2 * (1 - p).mean()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("own", "allowed", "text"),
    [
        ({"name": "own_losses:Poly1"}, False, "runs only on request: add --allow-custom-model"),
        ({"name": "own_losses:Poly2"}, True, 'has no callable "Poly2"; did you mean "Poly1"?'),
        ({"name": "own_losses:not_a_loss"}, True, "must return the loss, a module or a function"),
        ({"name": "own_losses:trainable_loss"}, True, "must have no parameters"),
        (
            {"name": "own_losses:Poly1", "args": {"gamma": 2}},
            True,
            "cannot be called with loss.args (gamma=2): TypeError",
        ),
    ],
)
def test_an_own_loss_that_cannot_be_built_is_refused_by_its_key(own, allowed, text):
    config = TypeAdapter(LossConfig).validate_python(own)
    with pytest.raises(TuneSweepsError) as error:
        build_loss(config, CLASSES, allow_custom=allowed)
    assert str(error.value).startswith("loss.name ")
    assert text in str(error.value)


def test_every_loss_of_the_config_is_covered_here():
    names = {name for section in options(LossConfig) for name in names_of(section)}
    assert names == {settings["name"] for settings in SETTINGS}
