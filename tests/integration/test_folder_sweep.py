"""A sweep on images in folders: the files change while it runs and between its runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.integration import sweeping
from tests.integration.commands import invoke
from tests.support.image_folders import write_image_folder
from trainable.errors import ConfigError

# tests/unit/sweeps/trials/test_splits.py has the same without Ray.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]


def test_all_trials_hold_out_the_same_images_whatever_comes_or_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_image_folder(tmp_path / "images")
    spec = sweeping.search(
        tmp_path,
        space={"optimizer.learning_rate": {"loguniform": [0.01, 0.1]}},
        tune={"num_samples": 2},
        resources=sweeping.ONE_AT_A_TIME,
        config={
            "dataset": {"name": "image_folder", "root": str(root), "image_size": 8},
            "training": {"epochs": 3, "batch_size": 4},
            "checkpoint": {"save_frequency": 1},
        },
    )
    with monkeypatch.context() as patch:
        sweeping.pause_after(patch, 4)  # in the second epoch of the second trial
        assert sweeping.start(spec).paused == "SIGINT"
    directory = tmp_path / "sweep"
    (split,) = json.loads((directory / "split.json").read_text(encoding="utf-8"))
    assert split["sizes"] == {"train": 12, "val": 4, "test": 8}

    for part in ("train", "test"):
        (root / part / "cat").rename(root / part / "kitten")
    before = {path: path.read_bytes() for path in directory.rglob("*.*json*")}
    with pytest.raises(ConfigError, match="missing cat and new kitten"):
        sweeping.resume(directory)
    assert {path: path.read_bytes() for path in directory.rglob("*.*json*")} == before
    for part in ("train", "test"):
        (root / part / "kitten").rename(root / part / "cat")

    for number in range(8):
        shutil.copy(root / "train/dog/0.png", root / f"train/dog/new{number}.png")
    capsys.readouterr()
    assert sweeping.resume(directory).record.state == "finished"
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("have changed since the training began: train 12 -> ") == 1
    checkpoints = list(directory.glob("*/checkpoints/*.pt"))
    assert len({path.parents[1] for path in checkpoints}) == 2
    for path in checkpoints:
        assert torch.load(path)["resume_state"]["split"] == split
    tables = [path.read_text(encoding="utf-8") for path in directory.glob("*/split.csv")]
    old = [{line for line in table.splitlines() if "new" not in line} for table in tables]
    assert [len(lines) for lines in old] == [1 + 16 + 8] * 2
    assert old[0] == old[1]
    best = json.loads(invoke("best", directory, "--json").stdout)
    assert best["config"]["dataset"]["classes"] == ["cat", "dog"]
