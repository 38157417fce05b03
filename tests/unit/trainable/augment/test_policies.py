"""Every image of a batch gets a draw of its own, the same for the same generator."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from trainable.augment.operations import OPERATIONS
from trainable.augment.policies import apply_policy, build_policy
from trainable.config import AugmentConfig

SIZE = 16
CONFIGS = [
    {"randaugment": {"operations": 2, "magnitude": 9.5}},
    {"trivialaugment": True},
    {"autoaugment": "imagenet"},
    {"autoaugment": "cifar10"},
    {"autoaugment": "svhn"},
]


def policy_of(**augment):
    return build_policy(AugmentConfig.model_validate(augment), SIZE, SIZE)


def equal_images(count, channels=3):
    image = torch.randint(256, (channels, SIZE, SIZE), generator=torch.Generator().manual_seed(1))
    return image.to(torch.uint8).repeat(count, 1, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", CONFIGS, ids=str)
def test_equal_images_of_a_batch_become_different(augment, channels):
    policy = policy_of(**augment)
    images = apply_policy(equal_images(64, channels), policy, np.random.default_rng(0))
    assert images.dtype == torch.uint8
    assert len({image.numpy().tobytes() for image in images}) > 10
    again = apply_policy(equal_images(64, channels), policy, np.random.default_rng(0))
    assert torch.equal(images, again)
    other = apply_policy(equal_images(64, channels), policy, np.random.default_rng(1))
    assert not torch.equal(images, other)


def test_a_batch_is_changed_as_its_images_are_one_by_one():
    policy = policy_of(randaugment={"operations": 3, "magnitude": 20})
    images, rng = equal_images(16), np.random.default_rng(3)
    alone = [apply_policy(image[None].clone(), policy, rng)[0] for image in images]
    together = apply_policy(images, policy, np.random.default_rng(3))
    assert torch.equal(together, torch.stack(alone))


def test_without_a_policy_there_is_none():
    assert policy_of(trivialaugment=False, autoaugment=None) is None


def test_randaugment_draws_every_operation_and_both_signs():
    policy = policy_of(randaugment={"operations": 2, "magnitude": 30})
    rng = np.random.default_rng(0)
    drawn = [operation for _ in range(500) for operation in policy(rng)]
    assert {name for name, _ in drawn} == set(OPERATIONS)
    assert {value for name, value in drawn if name == "Rotate"} == {30.0, -30.0}
    assert {value for name, value in drawn if name == "Posterize"} == {4}


def test_the_draws_of_randaugment_do_not_depend_on_the_magnitude():
    weak, strong = (policy_of(randaugment={"magnitude": m}) for m in (1, 30))
    names = [[name for name, _ in p(np.random.default_rng(5))] for p in (weak, strong)]
    assert names[0] == names[1]


def test_no_operations_change_nothing():
    images = equal_images(4)
    policy = policy_of(randaugment={"operations": 0})
    assert torch.equal(apply_policy(images.clone(), policy, np.random.default_rng(0)), images)


def test_autoaugment_applies_an_operation_with_its_probability():
    policy = policy_of(autoaugment="imagenet")
    rng = np.random.default_rng(0)
    inverted = sum(name == "Invert" for _ in range(4000) for name, _ in policy(rng)) / 4000
    table = v2.AutoAugment()._policies
    expected = sum(p for pair in table for name, p, _ in pair if name == "Invert") / len(table)
    assert inverted == pytest.approx(expected, abs=0.01)
