"""The code of the page on exported models runs and predicts what the trained model does."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.image_folders import write_image_folder
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.inference.export_model import export_checkpoint
from trainable.training.trainer import Trainer

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "exported_models.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
KINDS = {"safetensors": "safetensors", "torch-export": "pt2", "onnx": "onnx"}


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[] if k == "safetensors" else pytest.mark.slow) for k in KINDS]
)
def test_the_snippet_of_a_format_predicts_what_the_model_does(
    kind: str,
    working_directory: Path,
    tiny_trainer: Callable[..., Trainer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = write_image_folder(working_directory / "images", side=24)
    trainer = tiny_trainer(
        dataset={"name": "image_folder", "root": str(root), "image_size": 16, "val_split": None},
        model={"name": "resnet20"},
        training={"epochs": 1, "batch_size": 4},
    )
    trainer.run_epoch()
    write_checkpoint(trainer.state_dict(), [Path("best.pt")])
    export_checkpoint("best.pt", kind)
    shutil.copy(root / "test" / "cat" / "0.png", "picture.png")
    (snippet,) = [text for text in SNIPPETS if f'best.{KINDS[kind]}"' in text]
    capsys.readouterr()
    exec(compile(snippet, kind, "exec"), {})
    name, *probability = capsys.readouterr().out.split()
    images, _ = next(trainer.source.eval_batches("test", 1))
    expected = trainer.model.eval()(images).detach().softmax(1).max(1)
    assert name == trainer.source.class_names[int(expected.indices)]
    for value in probability:
        assert float(value) == pytest.approx(float(expected.values), abs=1e-4)


def test_every_format_has_a_snippet() -> None:
    for suffix in KINDS.values():
        assert sum(f'best.{suffix}"' in text for text in SNIPPETS) == 1
