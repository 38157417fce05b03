"""docs/reference/checkpoint_format.md has every key of a checkpoint, in the code and in files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.doc_files import REFERENCE, ROOT, first_columns
from tests.support.image_folders import write_image_folder
from trainable.artifacts import checkpoint
from trainable.training.trainer import Trainer

COLUMNS = first_columns("checkpoint_format.md")
KEYS, SCHEDULER = COLUMNS["Keys"], COLUMNS[checkpoint.SCHEDULER]
RESUME, TRAINING = COLUMNS[checkpoint.RESUME], COLUMNS[checkpoint.TRAINING]
GOLDEN = sorted((ROOT / "tests" / "golden").rglob("*.pt"))


def rows(section: str) -> dict[str, tuple[str, str]]:
    """Returns key -> (type, when it is there) of a section's table."""
    text = (REFERENCE / "checkpoint_format.md").read_text("utf-8").partition(f"# {section}\n")[2]
    lines = [line for line in text.partition("\n#")[0].splitlines() if line.startswith("| `")]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return {row[0].strip("`"): (row[1], row[2]) for row in cells}


def check_state(state: dict[str, Any]) -> None:
    """Compares a file's content with the page: no other keys, and those that are always there."""
    parts = {
        "Keys": state,
        f"`{checkpoint.SCHEDULER}`": state[checkpoint.SCHEDULER],
        f"`{checkpoint.RESUME}`": state[checkpoint.RESUME],
    }
    if checkpoint.TRAINING in state:
        parts[f"`{checkpoint.TRAINING}`"] = state[checkpoint.TRAINING]
    for section, part in parts.items():
        table = rows(section)
        always = {key for key, (_, there) in table.items() if there == "always"}
        assert always <= set(part) <= set(table), section
        for key, value in part.items():
            types = table[key][0].removesuffix(" of tensors").replace("list of int", "list")
            assert type(value).__name__.replace("NoneType", "None") in types.split(" or "), key


def test_the_page_has_the_keys_and_types_of_the_code() -> None:
    assert set(KEYS) == set(checkpoint.TYPES)
    assert {key for key, (_, there) in rows("Keys").items() if there == "always"} == {
        *checkpoint.REQUIRED,
        checkpoint.RESUME,
    }
    for key, kind in checkpoint.TYPES.items():
        assert rows("Keys")[key][0].startswith(kind.__name__)
    constants = (checkpoint.MONITOR, checkpoint.BEST_VALUE, checkpoint.SPLIT, checkpoint.IMAGE)
    assert {*constants, checkpoint.STOPPING} <= set(RESUME)
    assert [checkpoint.RAW_MODEL, checkpoint.UPDATES] == TRAINING


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parts[-3][-4:]}_{path.name}")
def test_files_of_earlier_versions_are_as_the_page_says(path: Path) -> None:
    check_state(torch.load(path))


def test_new_files_with_every_optional_key_are_as_the_page_says(
    tmp_path: Path, tiny_trainer: Callable[..., Trainer]
) -> None:
    root = write_image_folder(tmp_path / "images")
    folder = {"name": "image_folder", "root": str(root), "image_size": 8, "cache": False}
    trainer = tiny_trainer(
        dataset={**folder, "val_split": 0.25},
        training={"batch_size": 4, "early_stopping": {"patience": 9}, "max_seconds": 900},
        scheduler={"name": "plateau"},
        checkpoint={"monitor": "val_loss"},
        ema={"enabled": True},
    )
    trainer.run_epoch()
    checkpoint.write_checkpoint(trainer.state_dict(), [tmp_path / "new.pt"])
    state = torch.load(tmp_path / "new.pt")
    check_state(state)
    assert set(KEYS) - set(state) == {checkpoint.SCALER}  # needs a GPU
    assert set(SCHEDULER) == set(state[checkpoint.SCHEDULER])
    assert set(RESUME) == set(state[checkpoint.RESUME])
    page = (REFERENCE / "checkpoint_format.md").read_text("utf-8")
    assert all(f"`{key}`" in page for key in state[checkpoint.RESUME][checkpoint.STOPPING])
