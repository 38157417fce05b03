"""Pairs are mixed by timm's formula; all draws follow from seed, epoch and batch."""

import numpy as np
import pytest
import torch

from trainable.augment.mixing import Mix, apply_mix, augment_batches, draw_mix
from trainable.config import AugmentConfig

CLASSES = 4


def batch(count, size=8, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, channels, size, size, generator=generator)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def mixed(augment, batches, *, seed=1, epoch=1):
    config = AugmentConfig.model_validate(augment)
    return list(augment_batches(batches, config, CLASSES, seed=seed, epoch=epoch))


def same(left, right):
    pairs = zip(left, right, strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_a_batch_is_mixed_by_timms_formula(alphas):
    data = pytest.importorskip("timm.data")
    images, labels = batch(16)
    np.random.seed(3)
    mixup = data.Mixup(*alphas, mode="pair", label_smoothing=0.0, num_classes=CLASSES, prob=0.8)
    expected, targets = mixup(images.clone(), labels)
    np.random.seed(3)
    mix = timms_draw(mixup, images.shape)
    ours, soft = apply_mix(images, labels, mix, CLASSES)
    assert torch.allclose(ours, expected, atol=1e-6)
    assert torch.allclose(soft, targets, atol=1e-6)


def timms_draw(mixup, shape):
    """Draws what timm draws for a batch: shares and boxes, in its order."""
    from timm.data.mixup import cutmix_bbox_and_lam

    shares, is_cut = mixup._params_per_elem(shape[0] // 2)
    boxes = np.zeros((len(shares), 4), dtype=np.int64)
    for number in np.flatnonzero((shares != 1) & is_cut):
        boxes[number], shares[number] = cutmix_bbox_and_lam(shape[1:], shares[number])
    return Mix(
        np.concatenate([shares, shares[::-1]]).astype(np.float32),
        np.concatenate([boxes, boxes[::-1]]),
    )


def test_every_pair_is_drawn_for_itself_and_the_odd_image_stays():
    images, labels = batch(9)
    ((mixed_images, targets),) = mixed({"mixup": {"alpha": 1.0}}, [(images, labels)])
    mix = draw_mix(
        AugmentConfig.model_validate({"mixup": {"alpha": 1.0}}),
        1,
        images.shape,
        np.random.default_rng(0),
    )
    assert len(set(mix.shares.tolist())) == 5
    assert torch.equal(mixed_images[4], images[4])
    assert targets[4].tolist() == torch.eye(CLASSES)[labels[4]].tolist()
    assert torch.allclose(targets.sum(1), torch.ones(9))
    assert all(not torch.equal(a, b) for a, b in zip(mixed_images[:4], images[:4], strict=True))


def test_the_share_of_a_cut_label_is_the_area_of_the_image():
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 20, 20).contiguous()
    labels = torch.tensor([0, 1])
    for seed in range(20):
        ((cut, targets),) = mixed({"cutmix": {}}, [(images, labels)], seed=seed)
        assert set(cut.unique().tolist()) <= {0.0, 1.0}
        assert targets[0, 1].item() == pytest.approx(cut[0].mean().item(), abs=1e-6)
        assert targets[1, 0].item() == pytest.approx(1 - cut[1].mean().item(), abs=1e-6)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_share_of_the_pairs_is_mixed(probability):
    augment = {"mixup": {"alpha": 1.0, "probability": probability}}
    images, labels = batch(1000, size=2)
    ((_, targets),) = mixed(augment, [(images, labels)])
    own = targets[torch.arange(1000), labels]
    partners_differ = labels != labels.flip(0)
    assert (own < 1)[partners_differ].float().mean().item() == pytest.approx(probability, abs=0.07)


def test_where_both_would_mix_a_pair_one_of_them_is_drawn():
    config = AugmentConfig.model_validate({"mixup": {}, "cutmix": {}})
    mix = draw_mix(config, 1, torch.Size([2000, 3, 32, 32]), np.random.default_rng(0))
    assert mix.boxes.any(1).mean() == pytest.approx(0.5, abs=0.06)


def test_mixing_ends_with_its_epoch_but_targets_stay_soft():
    augment = {"mixup": {"off_epoch": 3}, "cutmix": {"off_epoch": 3, "probability": 0.5}}
    images, labels = batch(8)
    ((before, _),) = mixed(augment, [(images, labels)], epoch=2)
    ((after, targets),) = mixed(augment, [(images, labels)], epoch=3)
    assert not torch.equal(before, images)
    assert torch.equal(after, images)
    assert torch.equal(targets, torch.eye(CLASSES)[labels])


def test_draws_follow_from_seed_and_batch_and_leave_the_global_streams():
    augment = {"erasing": {"probability": 0.5}, "mixup": {}, "cutmix": {}}
    batches = [batch(8), batch(8), batch(7)]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = mixed(augment, batches)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert same(mixed(augment, batches), first)
    assert not torch.equal(first[0][0], first[1][0])
    assert not same(mixed(augment, batches, seed=2), first)


def test_erasing_sets_rectangles_of_some_images_to_the_mean():
    images = torch.full((200, 3, 16, 16), -2.0)
    augment = {"erasing": {"probability": 0.3, "min_area": 0.1, "max_area": 0.2}}
    ((erased, labels),) = mixed(augment, [(images, torch.zeros(200, dtype=torch.int64))])
    assert set(erased.unique().tolist()) == {-2.0, 0.0}
    areas = (erased[:, 0] == 0).float().mean((1, 2))
    assert 0.2 < (areas > 0).float().mean() < 0.4
    assert areas.max() <= 0.25
    assert areas[areas > 0].min() >= 0.05
    assert labels.dtype == torch.int64
    assert len(set(areas.tolist())) > 10


def test_without_erasing_and_mixing_the_batches_are_the_same_object():
    batches = [batch(4)]
    augment = AugmentConfig.model_validate({"rotation": 5, "erasing": {"probability": 0}})
    assert augment_batches(batches, augment, CLASSES, seed=1, epoch=1) is batches
