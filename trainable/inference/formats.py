"""The file formats of exported models: how each is written, and read back to be checked."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainable.errors import ModelError, TuneSweepsError, summarize_exception
from trainable.inference.description import KEY, Description
from trainable.inference.exported import load_exported

Logits = Callable[[Tensor], Tensor]
"""Maps images `[B, C, H, W]` to logits `[B, num_classes]`."""

EXTRA_FILE = f"{KEY}.json"
"""Its name in a file of torch.export."""
INPUT, OUTPUT = "images", "logits"
"""Names of input and output in an ONNX file."""

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Format:
    """One file format."""

    suffix: str
    write: Callable[[nn.Module, Tensor, Path, Description], None]
    """Writes a model in evaluation mode, with an example batch of two images, to a path."""
    read: Callable[[Path, bool], tuple[Logits, Description]]
    """Reads a file; says whether a model of the user's may be built for that."""
    check_packages: Callable[[], None] = lambda: None
    """Raises a TuneSweepsError if a package is missing."""


def _write_safetensors(
    model: nn.Module, example: Tensor, path: Path, description: Description
) -> None:
    from safetensors.torch import save

    del example
    state = model.state_dict()
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ModelError(f"safetensors holds tensors only, found {', '.join(others)}")
    # Tensors that share memory are refused, so that each becomes one of its own.
    tensors = {name: value.detach().clone(memory_format=torch.contiguous_format)
               for name, value in state.items()}  # fmt: skip
    path.write_bytes(save(tensors, {"format": "pt", KEY: json.dumps(description)}))


def _read_safetensors(path: Path, allow_custom: bool) -> tuple[Logits, Description]:
    return load_exported(path, allow_custom_model=allow_custom)


def _write_torch_export(
    model: nn.Module, example: Tensor, path: Path, description: Description
) -> None:
    program = torch.export.export(model, (example,), dynamic_shapes=_dynamic_batch())
    torch.export.save(program, path, extra_files={EXTRA_FILE: json.dumps(description)})


def _read_torch_export(path: Path, allow_custom: bool) -> tuple[Logits, Description]:
    del allow_custom
    extra_files = {EXTRA_FILE: ""}
    program = torch.export.load(path, extra_files=extra_files)
    return program.module(), json.loads(extra_files[EXTRA_FILE])


def _write_onnx(model: nn.Module, example: Tensor, path: Path, description: Description) -> None:
    program: Any = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        dynamic_shapes=_dynamic_batch(),
        input_names=[INPUT],
        output_names=[OUTPUT],
        external_data=False,
        verbose=False,
    )
    program.model.metadata_props[KEY] = json.dumps(description)
    program.save(path)


def _read_onnx(path: Path, allow_custom: bool) -> tuple[Logits, Description]:
    import onnxruntime

    del allow_custom
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    description = json.loads(session.get_modelmeta().custom_metadata_map[KEY])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run([OUTPUT], {INPUT: images.numpy()})
        return torch.from_numpy(logits)

    return run, description


def _check_onnx() -> None:
    missing = []
    for name in ONNX_PACKAGES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            missing.append(name)
    if missing:
        raise TuneSweepsError(
            f'--format onnx needs {" and ".join(missing)}: pip install "tune-sweeps[onnx]"'
        )


def _dynamic_batch() -> tuple[dict[int, Any]]:
    """Leaves the size of a batch open. The example must have two images: 1 would stay fixed."""
    return ({0: torch.export.Dim("batch", min=1)},)


FORMATS = {
    "safetensors": Format(".safetensors", _write_safetensors, _read_safetensors),
    "onnx": Format(".onnx", _write_onnx, _read_onnx, _check_onnx),
    "torch-export": Format(".pt2", _write_torch_export, _read_torch_export),
}


def write_model(
    kind: str, model: nn.Module, example: Tensor, path: Path, description: Description
) -> None:
    """Writes a model in a format.

    Args:
        kind: A key of `FORMATS`.
        model: The model in evaluation mode.
        example: Two images, `[2, C, H, W]`.
        path: The new file.
        description: Becomes part of the file.

    Raises:
        ModelError: The model cannot be written in this format.
    """
    # The exporters report on their own progress and on what they have tried before.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        FORMATS[kind].write(model, example, path, description)
    except (OSError, TuneSweepsError):
        raise
    except Exception as error:  # torch has no class for what a tracer does not support
        hint = "" if kind == "safetensors" else "; --format safetensors needs no tracing"
        raise ModelError(
            f"{description['architecture']} cannot be written as {kind}: "
            f"{summarize_exception(error)}{hint}"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
