"""Tests of `model.pretrained`: what a config leaves to the weights, and how a model gets them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.optional import skip_module_without
from tests.support.weight_caches import lay_hub_cache, lay_torch_cache
from trainable.config import TrainConfig, parse_config
from trainable.errors import ConfigError
from trainable.models import get_model
from trainable.models.pretrained import (
    LOCK_NAME,
    check_connection,
    ensure_weights,
    resolve,
    with_input_size,
    with_saved_preprocessing,
)

skip_module_without("timm")
constants = pytest.importorskip("huggingface_hub.constants")

RESNET = "timm/test_resnet.r160_in1k"


def config_of(dataset: dict[str, Any] | None = None, **model: Any) -> TrainConfig:
    return parse_config(
        {
            "dataset": dataset or {"name": "synthetic", "num_classes": 5},
            "model": {"name": "timm/test_resnet", **model},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of a client that is offline."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


def test_a_config_gets_the_tag_and_the_preprocessing_of_the_weights() -> None:
    folder = {"name": "image_folder", "image_size": 96}
    config = resolve(config_of(folder, pretrained=True))
    assert config.model.name == RESNET
    dataset = config.dataset
    assert dataset.mean == (0.5, 0.5, 0.5)
    assert (dataset.interpolation, dataset.crop_share, dataset.image_size) == (
        "bilinear",
        0.95,
        96,
    )
    assert resolve(config) == config


def test_a_config_without_weights_stays_as_it_is() -> None:
    config = config_of()
    assert resolve(config) == config


def test_grey_images_have_one_mean() -> None:
    config = resolve(config_of({"name": "digits"}, name="timm/resnet18", pretrained=True))
    assert config.dataset.mean == (pytest.approx(0.449),)


def test_a_checkpoint_of_ours_says_how_it_was_trained(tmp_path: Path) -> None:
    folder = {"name": "image_folder", "mean": [0.1, 0.2, 0.3], "image_size": 48}
    path = tmp_path / "best.pt"
    trained = config_of(folder, num_classes=5)
    state = {"model_state_dict": get_model(trained).state_dict(), "config": trained.to_dict()}
    torch.save(state, path)
    config = resolve(config_of({"name": "image_folder"}, pretrained=str(path), num_classes=2))
    assert (config.dataset.mean, config.dataset.image_size) == ((0.1, 0.2, 0.3), 48)
    assert config.dataset.crop_share == 0.95  # the library's, for what it does not say
    model = get_model(config, pretrained=True)
    assert torch.equal(model.conv1[0].weight, state["model_state_dict"]["conv1.0.weight"])
    assert float(model.fc.weight.detach().std()) == pytest.approx(0.01, rel=0.1)


def test_built_in_models_start_from_a_checkpoint(tmp_path: Path) -> None:
    trained = config_of(name="resnet20")
    source = get_model(trained)
    torch.save({"model_state_dict": source.state_dict()}, tmp_path / "a.pt")
    config = config_of({"name": "digits"}, name="resnet20", pretrained=str(tmp_path / "a.pt"))
    model = get_model(config, pretrained=True)
    expected = source.stem[0].weight.sum(1, keepdim=True)
    torch.testing.assert_close(model.stem[0].weight, expected)


def test_a_training_that_continues_keeps_what_its_checkpoint_used() -> None:
    trained = resolve(config_of({"name": "image_folder"}, pretrained=True))
    state = {"config": trained.to_dict()}
    config = with_saved_preprocessing(config_of({"name": "image_folder"}, pretrained=True), state)
    assert config == trained
    without = config_of({"name": "image_folder"})
    assert with_saved_preprocessing(without, state) == without
    assert with_saved_preprocessing(without, None) == without


def test_models_of_a_fixed_size_get_the_size_of_the_images() -> None:
    config = with_input_size(config_of(name="timm/test_vit"), (3, 96, 96))
    assert config.model.args == {"img_size": 96}
    assert hash(config) == hash(parse_config(config.to_dict()))
    assert with_input_size(config, (3, 32, 32)) == config  # what the user has set stays
    assert with_input_size(config_of(), (3, 96, 96)).model.args == {}


@pytest.mark.parametrize("head_init", ["small", "zero", "library"])
def test_a_model_gets_the_weights_of_the_hubs_cache(hub_cache: Path, head_init: str) -> None:
    source = get_model(config_of(num_classes=1000))
    lay_hub_cache(hub_cache, RESNET, source.state_dict())
    config = config_of(pretrained=True, head_init=head_init)
    model = get_model(resolve(config), pretrained=True)
    loaded = model.state_dict()
    for name, tensor in source.state_dict().items():
        assert name.startswith("fc.") or torch.equal(loaded[name], tensor)
    std = float(model.fc.weight.detach().std())
    assert {"small": 0.005 < std < 0.015, "zero": std == 0, "library": std > 0.015}[head_init]
    same_classes = config_of(pretrained=True, num_classes=1000)
    kept = get_model(resolve(same_classes), pretrained=True)
    assert torch.equal(kept.fc.weight, source.fc.weight)


def test_a_model_of_torchvision_gets_the_weights_of_torchs_cache(hub_cache: Path) -> None:
    name = "torchvision/squeezenet1_1"
    source = get_model(config_of(name=name, num_classes=1000))
    lay_torch_cache(hub_cache.parent / "torch", "squeezenet1_1-b8a52dc0.pth", source.state_dict())
    model = get_model(resolve(config_of(name=name, pretrained=True)), pretrained=True)
    assert torch.equal(model.features[0].weight, source.features[0].weight)
    assert float(model.classifier[1].weight.detach().std()) == pytest.approx(0.01, rel=0.2)


def test_without_a_network_the_places_for_the_weights_are_named(hub_cache: Path) -> None:
    model = resolve(config_of(pretrained=True)).model
    for check in (check_connection, ensure_weights):
        with pytest.raises(ConfigError) as raised:
            check(model)
        [problem] = raised.value.problems
        assert problem.key == "model.pretrained"
        assert "cannot be downloaded (HF_HUB_OFFLINE is set): put the repository" in problem.rule
        assert f"{RESNET} in {hub_cache} (HF_HUB_CACHE), or set model.pretrained" in problem.rule
    assert not hub_cache.exists()


def test_a_host_that_refuses_connections_is_reported_at_once(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} cannot be reached: .*refused"):
        ensure_weights(resolve(config_of(pretrained=True)).model)
    assert not (hub_cache / LOCK_NAME).exists()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(get_model(config_of(name="timm/test_vit")).state_dict(), path)
    with pytest.raises(ConfigError, match=rf"model.pretrained: {path} is of another model than"):
        get_model(config_of(pretrained=str(path)), pretrained=True)


def test_position_embeddings_of_a_file_are_resized_by_timm(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    source = get_model(config_of(name="timm/test_vit"))
    torch.save({"model_state_dict": source.state_dict()}, path)
    config = config_of(name="timm/test_vit", pretrained=str(path), args={"img_size": 96})
    model = get_model(config, pretrained=True)
    assert torch.equal(model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert torch.equal(model.head.weight, source.head.weight)
    assert model.pos_embed.shape[1] == source.pos_embed.shape[1] - 64
