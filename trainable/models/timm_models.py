"""Models of timm, which this module imports only where a config names one."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from trainable.config.library_names import check_timm_is_installed, split_name, unknown_name
from trainable.config.preprocessing import Preprocessing
from trainable.errors import ConfigError, Problem


def import_timm(name: str) -> ModuleType:
    """Imports timm, which takes some seconds.

    The first import creates so many objects, which all stay, that Python's search for garbage
    among them takes as long as a third of it. Neither this search nor later ones look at them.

    Args:
        name: The config's `model.name`.

    Raises:
        ConfigError: timm is not installed.
    """
    problem = check_timm_is_installed(name)
    if problem is not None:
        raise ConfigError("config", [problem])
    with nullcontext() if "timm" in sys.modules else _frozen_objects():
        import timm
    module: ModuleType = timm
    return module


@contextmanager
def _frozen_objects() -> Iterator[None]:
    """Keeps all objects that there are at the end out of the search for garbage."""
    collects = gc.isenabled()
    gc.collect()  # what is garbage now would never be freed, perhaps the tensors of a model
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


@functools.lru_cache(maxsize=256)
def read_settings(name: str) -> Any:
    """Returns timm's `PretrainedCfg` of a model; without a tag, that of timm's default tag.

    Raises:
        ConfigError: timm is missing, or has no such model or tag.
    """
    timm = import_timm(name)
    architecture, tag = split_name(name)
    if not timm.is_model(architecture):
        raise unknown_name(name, "timm has no model", timm.list_models())
    names = [*timm.models.get_arch_pretrained_cfgs(architecture)]
    if tag and f"{architecture}.{tag}" not in names:
        raise unknown_name(name, "timm has no weights", names)
    return timm.models.get_pretrained_cfg(name.partition("/")[2])


def resolve_name(name: str) -> str:
    """Returns a name with its tag: without one it has timm's default weights.

    Raises:
        ConfigError: timm has no such model, or no weights for it.
    """
    settings = read_settings(name)
    if not settings.has_weights:
        raise ConfigError("config", [Problem("model.pretrained", _explain_no_weights(name))])
    architecture, tag = split_name(name)
    return f"timm/{architecture}.{tag or settings.tag}"


def _explain_no_weights(name: str) -> str:
    timm = import_timm(name)
    architecture, _ = split_name(name)
    others = timm.list_pretrained(f"{architecture}.*")
    if others:
        return f'timm has no weights for "{name}"; it has {", ".join(others)}'
    return f'timm has no weights for "{name}"; set false, or the path of a file'


def read_preprocessing(name: str) -> Preprocessing:
    """Returns the preprocessing of a model's weights."""
    settings = read_settings(name)
    _, height, width = settings.input_size
    kind = settings.interpolation
    return Preprocessing(
        mean=tuple(map(float, settings.mean)),
        std=tuple(map(float, settings.std)),
        interpolation=kind if kind in ("bilinear", "nearest") else "bicubic",
        crop_share=float(settings.crop_pct),
        image_size=min(height, width),
    )


def takes_image_size(name: str, height: int, width: int) -> bool:
    """Returns whether a model has to be built for the size of the images, in pixels."""
    settings = read_settings(name)
    return bool(settings.fixed_input_size) and settings.input_size[1:] != (height, width)


def build(name: str, num_classes: int, in_channels: int, args: dict[str, Any]) -> nn.Module:
    """Builds a model with new weights."""
    read_settings(name)
    timm = import_timm(name)
    model: nn.Module = timm.create_model(
        name.partition("/")[2], num_classes=num_classes, in_chans=in_channels, **args
    )
    return model


def read_state(
    name: str, in_channels: int, args: dict[str, Any], weights: Path | dict[str, Tensor]
) -> dict[str, Tensor]:
    """Returns weights of a model's own number of classes under the names of the model's weights.

    timm converts older layouts, and sums or repeats weights for another number of channels.

    Args:
        name: The config's `model.name`.
        in_channels: Channels of the images.
        args: The model's other arguments.
        weights: The file of timm's own weights, or weights of another file.

    Raises:
        RuntimeError: The weights are those of another model.
    """
    timm = import_timm(name)
    arguments = {"in_chans": in_channels, **args}
    if isinstance(weights, Path):
        source: dict[str, Any] = {"file": str(weights)}
    else:
        source = {"state_dict": weights}
        classes = _count_classes(name, weights)
        if classes is not None:
            source["num_classes"] = arguments["num_classes"] = classes
    model = timm.create_model(
        name.partition("/")[2], pretrained=True, pretrained_cfg_overlay=source, **arguments
    )
    state: dict[str, Tensor] = model.state_dict()
    return state


def _count_classes(name: str, weights: dict[str, Tensor]) -> int | None:
    """Returns the number of classes of weights; None where their classifier is not recognised."""
    classifier = read_settings(name).classifier
    first = classifier if isinstance(classifier, str) else next(iter(classifier or ()), None)
    weight = weights.get(f"{first}.weight")
    return None if weight is None else len(weight)


def find_cached(name: str) -> Path | None:
    """Returns the file of a model's weights on this machine, or None; uses no network."""
    import torch
    from huggingface_hub import try_to_load_from_cache

    settings = read_settings(name)
    if not settings.hf_hub_id:
        path = Path(torch.hub.get_dir(), "checkpoints", Path(settings.url).name)
        return path if path.is_file() else None
    repository, revision = _split_revision(settings.hf_hub_id)
    for file in _list_files(settings):
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    return None


def download(name: str) -> Path:
    """Downloads the weights of a model into the library's cache and returns the file."""
    import torch
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    settings = read_settings(name)
    if not settings.hf_hub_id:
        path = Path(torch.hub.get_dir(), "checkpoints", Path(settings.url).name)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(settings.url, str(path), progress=False)
        return path
    repository, revision = _split_revision(settings.hf_hub_id)
    first, *others = _list_files(settings)
    try:
        return Path(hf_hub_download(repository, first, revision=revision))
    except RemoteEntryNotFoundError:
        if not others:
            raise
    return Path(hf_hub_download(repository, others[0], revision=revision))


def address(name: str) -> str:
    """Returns the address that a model's weights are downloaded from."""
    from huggingface_hub import hf_hub_url

    settings = read_settings(name)
    if not settings.hf_hub_id:
        return str(settings.url)
    repository, revision = _split_revision(settings.hf_hub_id)
    return hf_hub_url(repository, _list_files(settings)[0], revision=revision)


def place(name: str) -> str:
    """Returns where a user can put the weights of a model."""
    settings = read_settings(name)
    if not settings.hf_hub_id:
        import torch

        file = Path(settings.url).name
        return f"the file {file} in {torch.hub.get_dir()}/checkpoints (TORCH_HOME)"
    from huggingface_hub import constants

    return f"the repository {settings.hf_hub_id} in {constants.HF_HUB_CACHE} (HF_HUB_CACHE)"


def cache_directory(name: str) -> Path:
    """Returns the directory that the library keeps the weights of a model in."""
    if not read_settings(name).hf_hub_id:
        import torch

        return Path(torch.hub.get_dir(), "checkpoints")
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _list_files(settings: Any) -> list[str]:
    """Returns the names that a file of weights may have, the preferred one first."""
    own = settings.hf_hub_filename
    if own is None:
        return ["model.safetensors", "pytorch_model.bin"]
    return [str(own)]


def _split_revision(hub_id: str) -> tuple[str, str | None]:
    repository, _, revision = hub_id.partition("@")
    return repository, revision or None
