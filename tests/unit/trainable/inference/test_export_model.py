"""Exported models: what is in the file, what is checked, what is refused."""

import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors import safe_open

from sweeps.cli.main import main
from tests.support.image_folders import write_image_folder
from trainable.artifacts.checkpoint import MODEL, write_checkpoint
from trainable.config import parse_config
from trainable.inference.export_model import export_checkpoint
from trainable.inference.exported import load_exported
from trainable.models import get_model
from trainable.storage.object_store import ObjectStore
from trainable.training.trainer import Trainer
from trainable.uri import child_uri

TrainerFactory = Callable[..., Trainer]


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_trainer: TrainerFactory) -> Path:
    """A trained epoch of digits, where a trial has it."""
    trainer = tiny_trainer()
    row = trainer.run_epoch()
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "best.pt"
    write_checkpoint(trainer.state_dict(), [path])
    return path


def save(trainer: Trainer, path: Path) -> Path:
    write_checkpoint(trainer.state_dict(), [path])
    return path


def export(*words: object) -> Result:
    arguments = ["export-model", "--allow-custom-model", *map(str, words)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_weights_and_description_are_in_the_file(checkpoint: Path) -> None:
    done = export(checkpoint)
    path = checkpoint.with_name("best.safetensors")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == str(path)
    assert "loaded back: logits of 3 test images differ by at most 0" in done.stdout
    state = torch.load(checkpoint)
    with safe_open(path, "pt") as file:
        for name, value in state[MODEL].items():
            assert torch.equal(file.get_tensor(name), value)
        about = json.loads(file.metadata()["tune_sweeps"])
    assert about["architecture"] == "tiny_models:mlp"
    assert about["classes"] == [str(digit) for digit in range(10)]
    row = json.loads((checkpoint.parents[1] / "metrics.jsonl").read_text())
    scores = {key: row[key] for key in ("val_acc", "val_loss", "train_loss")}
    assert about["checkpoint"].items() >= scores.items()
    assert about["checkpoint"]["epoch"] == 1
    assert about["checkpoint"]["best_acc"] == row["best_acc"]
    assert path.stat().st_mode == checkpoint.stat().st_mode


@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=pytest.mark.slow), "torch-export"])
def test_the_computation_is_in_the_file(checkpoint: Path, kind: str) -> None:
    exported = export_checkpoint(str(checkpoint), kind, allow_custom_model=True)
    assert exported.difference < 1e-5
    images = torch.randn(5, 1, 8, 8)
    state = torch.load(checkpoint)
    model = get_model(parse_config(state["config"]), allow_custom=True).eval()
    model.load_state_dict(state[MODEL])
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(exported.locations[0])
        about = session.get_modelmeta().custom_metadata_map["tune_sweeps"]
        logits = torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
    else:
        files = {"tune_sweeps.json": ""}
        logits = torch.export.load(exported.locations[0], extra_files=files).module()(images)
        about = files["tune_sweeps.json"]
    torch.testing.assert_close(logits, model(images), atol=1e-5, rtol=1e-4)
    assert json.loads(about)["preprocessing"]["size"] == [8, 8]


def test_an_existing_file_and_a_missing_directory_are_refused(checkpoint: Path) -> None:
    path = checkpoint.with_name("best.safetensors")
    path.write_text("mine")
    done = export(checkpoint)
    assert done.exit_code == 2
    assert f"{path} exists; delete it or choose another name with --output" in done.stderr
    assert path.read_text() == "mine"
    done = export(checkpoint, "--output", checkpoint.parent / "new" / "m.safetensors")
    assert done.exit_code == 2
    assert "there is no directory" in done.stderr
    assert sorted(file.name for file in checkpoint.parent.iterdir()) == [
        "best.pt", "best.safetensors",
    ]  # fmt: skip


def test_a_file_that_computes_something_else_is_deleted(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    trainer = tiny_trainer(model={"name": "unexportable_models:hidden_weights"})
    checkpoint = save(trainer, tmp_path / "best.pt")
    done = export(checkpoint)
    assert done.exit_code == 1
    assert "differs from the checkpoint's on 1 image: a logit by" in done.stderr
    assert "the file is deleted" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]


def test_a_model_that_no_tracer_can_follow_is_named(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    trainer = tiny_trainer(model={"name": "unexportable_models:branching"})
    checkpoint = save(trainer, tmp_path / "best.pt")
    done = export(checkpoint, "--format", "torch-export")
    assert done.exit_code == 2
    assert "unexportable_models:branching cannot be written as torch-export" in done.stderr
    assert done.stderr.rstrip().endswith("; --format safetensors needs no tracing")
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]


def test_missing_packages_are_named_with_the_remedy(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = export(checkpoint, "--format", "onnx")
    assert done.exit_code == 2
    assert '--format onnx needs onnxruntime: pip install "tune-sweeps[onnx]"' in done.stderr


def test_random_images_take_the_place_of_missing_ones(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    root = write_image_folder(tmp_path / "images")
    trainer = tiny_trainer(
        dataset={"name": "image_folder", "root": str(root), "image_size": 8, "val_split": 0.25},
        model={"name": "tiny_models:pooled_cnn"},
    )
    checkpoint = save(trainer, tmp_path / "best.pt")
    real = export_checkpoint(str(checkpoint), "safetensors", allow_custom_model=True)
    expected, _ = next(trainer.source.eval_batches("test", 3))
    assert torch.equal(real.images.pixels, expected)
    assert real.images.are_real
    elsewhere = {"dataset.root": str(tmp_path / "elsewhere")}
    random = [
        export_checkpoint(
            str(checkpoint), "safetensors", str(tmp_path / name), values=elsewhere,
            allow_custom_model=True,
        )
        for name in ("a", "b")
    ]  # fmt: skip
    assert not random[0].images.are_real
    assert "elsewhere" in str(random[0].images.reason)
    assert torch.equal(random[0].images.pixels, random[1].images.pixels)
    assert random[0].images.pixels.shape == (3, 3, 8, 8)
    assert random[0].description["classes"] == ["cat", "dog"]


def test_checkpoint_and_output_may_be_in_object_storage(checkpoint: Path) -> None:
    uri = f"memory://{uuid.uuid4().hex}/trial"
    store = ObjectStore(uri)
    store.upload(checkpoint, "best.pt")
    source = child_uri(uri, "best.pt")
    done = export(source)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == child_uri(uri, "best.safetensors")
    assert sorted(store.list()) == ["best.pt", "best.safetensors"]
    local = checkpoint.with_name("local.safetensors")
    store.download("best.safetensors", local)
    assert load_exported(local, allow_custom_model=True)[1]["classes"][9] == "9"
    assert export(source).exit_code == 2


def test_a_damaged_checkpoint_and_own_code_without_the_flag_are_refused(checkpoint: Path) -> None:
    done = CliRunner().invoke(main, ["export-model", str(checkpoint)])
    assert done.exit_code == 2
    assert "--allow-custom-model" in done.stderr
    checkpoint.write_bytes(b"no checkpoint")
    assert export(checkpoint).exit_code == 2
    assert [file.name for file in checkpoint.parent.iterdir()] == ["best.pt"]


@pytest.mark.slow
def test_timm_builds_its_model_from_the_folder(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    """The last example of docs/guides/exported_models.md."""
    timm = pytest.importorskip("timm")
    root = write_image_folder(tmp_path / "images", side=60)
    trainer = tiny_trainer(
        dataset={"name": "image_folder", "root": str(root), "image_size": 32, "val_split": None},
        model={"name": "timm/test_resnet"},
    )
    checkpoint = save(trainer, tmp_path / "best.pt")
    folder = tmp_path / "folder"
    folder.mkdir()
    done = export(checkpoint, "--output", folder / "model.safetensors")
    assert done.stdout.splitlines()[:2] == [
        str(folder / "model.safetensors"), str(folder / "config.json"),
    ]  # fmt: skip
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    image = transform(Image.open(root / "test" / "cat" / "0.png"))
    expected, _ = next(trainer.source.eval_batches("test", 1))
    torch.testing.assert_close(image, expected[0])
    torch.testing.assert_close(model(image[None]), trainer.model.eval()(expected))
    assert model.pretrained_cfg["label_names"] == ["cat", "dog"]
    folder.joinpath("model.safetensors").unlink()
    done = export(checkpoint, "--output", folder / "model.safetensors")
    assert done.exit_code == 2
    assert "config.json exists" in done.stderr
