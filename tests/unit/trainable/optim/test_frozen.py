"""Frozen parts are not trained, run as in evaluation, and depend on the epoch's number alone."""

import pytest
import torch
from torch import nn

from trainable.config import ModelConfig, parse_config
from trainable.errors import ConfigError
from trainable.optim.frozen import FrozenParts, batch_norms, frozen_parameters
from trainable.training.trainer import Trainer


class Small(nn.Module):
    def __init__(self, affine=True):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.Dropout()
        )
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(24, 3))

    def forward(self, images):
        return self.head(self.body(self.stem(images)))


def section(freeze, **values):
    return ModelConfig(name="resnet20", freeze=freeze, **values)


STAGE = {"stages": 1}


def trained(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_the_backbone_is_everything_but_the_classifier():
    model = Small()
    assert FrozenParts(model, section("backbone")).start_epoch(1)
    assert trained(model) == ["head.2.weight", "head.2.bias"]


def test_the_first_stages_are_counted_from_the_stem():
    model = Small()
    FrozenParts(model, section(STAGE)).start_epoch(1)
    assert trained(model)[0] == "body.0.weight"
    with pytest.raises(ConfigError, match=r"model\.freeze\.stages: must be at most 2 for"):
        frozen_parameters(model, section({"stages": 3}))


def test_frozen_modules_stay_in_evaluation_and_others_do_not():
    for affine in (True, False):
        model = Small(affine)
        parts = FrozenParts(model, section(STAGE))
        parts.start_epoch(1)
        model.train()
        parts.keep_in_evaluation()
        assert not any(module.training for module in (model.stem[0], model.stem[1])), affine
        assert model.body[1].training
        assert model.head[0].training
    assert not model.stem[2].training or not affine


def test_batch_norm_in_evaluation_still_trains_its_weights_and_leaves_the_rest_in_training():
    model = Small()
    parts = FrozenParts(
        model, section(STAGE, unfreeze_epoch=2, pretrained="w.pt", batch_norm="eval")
    )
    for epoch in (1, 2):
        parts.start_epoch(epoch)
        model.train()
        parts.keep_in_evaluation()
        assert not any(module.training for module in batch_norms(model)), epoch
        assert model.head[0].training
    assert "stem.1.weight" in trained(model)
    assert model.stem[2].training


def test_only_layers_with_running_statistics_are_kept():
    layers = [nn.BatchNorm1d(2), nn.BatchNorm3d(2), nn.SyncBatchNorm(2)]
    others = [
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.GroupNorm(1, 2),
        nn.InstanceNorm2d(2),
    ]
    assert batch_norms(nn.Sequential(*layers, *others)) == layers


def test_the_state_is_a_function_of_the_epoch():
    model = Small()
    parts = FrozenParts(model, section("backbone", unfreeze_epoch=3))
    changes = [parts.start_epoch(epoch) for epoch in (1, 2, 3, 4, 2, 3)]
    assert changes == [True, False, True, False, True, True]
    assert len(trained(model)) == 10
    model.train()
    parts.keep_in_evaluation()
    assert model.stem[1].training


def test_nothing_is_frozen_by_default_and_frozen_parameters_of_a_model_stay_so():
    model = Small()
    model.stem[0].weight.requires_grad_(False)
    parts = FrozenParts(model, section("none"))
    assert not parts.start_epoch(1)
    parts = FrozenParts(model, section(STAGE, unfreeze_epoch=2))
    parts.start_epoch(1)
    parts.start_epoch(2)
    assert "stem.0.weight" not in trained(model)
    assert "stem.0.bias" in trained(model)


def test_a_model_without_anything_to_train_is_refused():
    model = Small()
    model.head.requires_grad_(False)
    with pytest.raises(ConfigError, match=r"model\.freeze: leaves nothing to train"):
        FrozenParts(model, section("backbone"))


# ---------------------------------------------------------------------------- a training


def config(**keys):
    data = {
        "seed": {"enabled": True, "threads": 1, "deterministic": True},
        "dataset": {
            "name": "synthetic", "shape": [3, 8, 8], "num_classes": 3, "num_train": 40,
            "num_test": 8,
        },
        "model": {"name": "tiny_models:dropout_cnn"},
        "training": {"epochs": 4, "batch_size": 8},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "scheduler": {"name": "none"},
    }  # fmt: skip
    for key, value in keys.items():
        section_name, _, name = key.partition("__")
        data[section_name] = {**data.get(section_name, {}), name: value}
    return parse_config(data)


def start(settings):
    return Trainer(settings, allow_custom_model=True)


def run(trainer, epochs):
    for _ in range(epochs):
        trainer.run_epoch()


def tensors(trainer):
    return {key: value.clone() for key, value in trainer.model.state_dict().items()}


def test_frozen_weights_and_statistics_do_not_change_and_then_they_do():
    trainer = start(config(model__freeze="backbone", model__unfreeze_epoch=2))
    before = tensors(trainer)
    trainer.run_epoch()
    frozen = tensors(trainer)
    changed = [key for key in before if not torch.equal(before[key], frozen[key])]
    assert {key.split(".")[0] for key in changed} == {"5"}
    trainer.run_epoch()
    after = tensors(trainer)
    assert not any(torch.equal(frozen[key], value) for key, value in after.items())


STATISTICS = ("1.running_mean", "1.running_var", "1.num_batches_tracked")


def test_with_batch_norm_eval_statistics_stay_and_everything_else_is_trained():
    trainer = start(config(model__batch_norm="eval", ema__enabled=True))
    before = tensors(trainer)
    trainer.run_epoch()
    averaged = trainer.evaluation_step.model.state_dict()
    assert averaged["1.weight"].data_ptr() != trainer.model[1].weight.data_ptr()
    for after in (tensors(trainer), averaged):
        same = {key for key in before if torch.equal(before[key], after[key])}
        assert same == set(STATISTICS)
    assert not any("batch_norm" in notice for notice in trainer.notices)


def test_with_batch_norm_eval_a_training_step_normalises_with_the_stored_statistics():
    """A step without dropout that changes nothing has the loss of an evaluation."""
    settings = config(
        model__batch_norm="eval",
        dataset__augment=False,
        training__batch_size=40,
        optimizer__learning_rate=1e-30,
    )
    trainer = start(settings)
    trainer.model[3].p = 0.0
    trainer.model[1].running_mean.copy_(torch.linspace(-1, 1, 8))
    row = trainer.run_epoch()
    assert row["train_loss"] == pytest.approx(trainer.score("train").loss, rel=1e-5)


def test_batch_norm_eval_is_said_to_have_no_effect_on_a_model_without_such_layers():
    trainer = start(config(model__name="tiny_models:mlp", model__batch_norm="eval"))
    assert "model.batch_norm has no effect: the model has no BatchNorm" in trainer.notices


@pytest.mark.parametrize(
    ("optimizer", "batch_norm"), [("adamw", "eval"), ("lamb", "train"), ("sgd", "eval")]
)
def test_a_training_with_every_key_continues_bit_equally_at_every_cut(optimizer, batch_norm):
    pytest.importorskip("timm")
    settings = config(
        model__batch_norm=batch_norm,
        model__freeze={"stages": 1},
        model__unfreeze_epoch=3,
        optimizer__name=optimizer,
        optimizer__layer_decay=0.8,
        optimizer__head_lr_factor=5.0,
        optimizer__decay_norm_and_bias=False,
        optimizer__weight_decay=0.1,
        training__clip_grad={"agc": 0.05},
        scheduler__name="one_cycle",
        scheduler__on="step",
    )
    whole = start(settings)
    run(whole, 4)
    for cut in (1, 2, 3):
        first = start(settings)
        run(first, cut)
        second = start(settings)
        second.load_state_dict(first.state_dict())
        run(second, 4 - cut)
        for key, value in tensors(whole).items():
            assert torch.equal(tensors(second)[key], value), (cut, key)
    assert (whole.model[1].num_batches_tracked > 0) == (batch_norm == "train")
