"""All trials of a sweep hold out the same images, from its start to its last resume."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, TrialRecord, TrialState, now
from sweeps.trials.splits import SweepSplits
from tests.support.image_folders import write_image_folder
from trainable.config import TrainConfig
from trainable.data.splits.divide import divide
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError
from trainable.training.trainer import Trainer

MakeSpec = Callable[..., SearchSpec]
LR = {"optimizer.learning_rate": {"loguniform": [0.01, 0.1]}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "images", train=20)


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    (tmp_path / "sweep").mkdir()
    return SweepLayout(tmp_path / "sweep")


@pytest.fixture
def make_spec(tiny_data: Callable[..., Any], root: Path) -> MakeSpec:
    def make(space: dict[str, Any] | None = None, **sections: Any) -> SearchSpec:
        dataset = {
            "name": "image_folder",
            "root": str(root),
            "image_size": 8,
            "val_split": 0.25,
            **sections.pop("dataset", {}),
        }
        config = {**tiny_data(**sections), "dataset": dataset}
        return parse_search({"config": config, "space": space or LR, "tune": {"num_samples": 2}})

    return make


def trial(number: int, state: TrialState = "paused", **values: Any) -> TrialRecord:
    values = {"optimizer.learning_rate": 0.05, **values}
    return TrialRecord(str(number), number, f"t{number}", values, state=state)


def held_out(config: TrainConfig, settings: dict[str, Any] | None) -> set[str]:
    assert settings is not None
    split = divide(config.dataset, SplitRecord.from_dict(settings))
    root = config.dataset.root
    return {Path(image.path).relative_to(root).as_posix() for image in split.images["val"]}


def test_nothing_is_written_before_the_first_trial(make_spec, layout):
    splits = SweepSplits(make_spec(), layout, [])
    assert list(layout.directory.iterdir()) == []
    splits.settings(make_spec().training)
    assert [path.name for path in layout.directory.iterdir()] == ["split.json"]


def test_a_file_that_comes_between_two_trials_moves_no_other(make_spec, layout, root):
    spec = make_spec()
    splits = SweepSplits(spec, layout, [])
    first = held_out(spec.training, splits.settings(spec.training))
    assert len(first) == 10
    for number in range(30):
        (root / "train" / "cat" / f"new{number}.png").touch()
    (root / sorted(first)[0]).unlink()
    second = held_out(spec.training, splits.settings(spec.training))
    assert {name for name in second if "new" not in name} == first - {sorted(first)[0]}


def test_a_resumed_sweep_reads_its_split_and_says_what_has_changed(
    make_spec, layout, root, capsys
):
    spec = make_spec()
    first = SweepSplits(spec, layout, []).settings(spec.training)
    content = layout.split_file.read_bytes()
    assert capsys.readouterr().out == ""
    (root / "test" / "cat" / "0.png").unlink()
    again = SweepSplits(spec, layout, [trial(0), trial(1)])
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("have changed since the training began: test 8 -> 7") == 1
    assert again.settings(spec.training) == first
    assert layout.split_file.read_bytes() == content


def test_other_classes_are_refused_before_anything_is_written(make_spec, layout, root):
    spec = make_spec()
    SweepSplits(spec, layout, []).settings(spec.training)
    content = layout.split_file.read_bytes()
    for split in ("train", "test"):
        (root / split / "cat").rename(root / split / "kitten")
    with pytest.raises(DataError, match="missing cat and new kitten"):
        SweepSplits(spec, layout, [trial(0)])
    assert layout.split_file.read_bytes() == content
    renamed = make_spec(dataset={"classes": ["kitten", "dog"]})
    assert SweepSplits(renamed, layout, [trial(0)]).settings(renamed.training) is not None


def test_a_moved_data_set_keeps_its_split(make_spec, layout, root, tmp_path):
    spec = make_spec()
    first = held_out(spec.training, SweepSplits(spec, layout, []).settings(spec.training))
    root.rename(tmp_path / "moved")
    moved = make_spec(dataset={"root": str(tmp_path / "moved")})
    settings = SweepSplits(moved, layout, [trial(0)]).settings(moved.training)
    assert held_out(moved.training, settings) == first


def test_a_sweep_of_an_older_version_keeps_its_split_by_position(make_spec, layout):
    spec = make_spec()
    layout.write_sweep(SweepRecord("sweep", "paused", now()))
    splits = SweepSplits(spec, layout, [trial(0), trial(1, "finished")])
    settings = splits.settings(spec.training)
    assert settings is not None
    assert settings["by_position"]
    new = {"dataset.seed": 7, "optimizer.learning_rate": 0.02}
    searched = make_spec({**LR, "dataset.seed": {"choice": [7, 8]}})
    splits = SweepSplits(searched, layout, [])
    settings = splits.settings(searched.trial_config(new, 0))
    assert settings is not None
    assert not settings["by_position"]


def test_trials_that_split_differently_have_splits_of_their_own(make_spec, layout):
    spec = make_spec({**LR, "dataset.seed": {"choice": [7, 8]}})
    splits = SweepSplits(spec, layout, [])
    configs = [spec.trial_config(trial(0, **{"dataset.seed": n}).values, 0) for n in (7, 8, 7)]
    sets = [held_out(config, splits.settings(config)) for config in configs]
    assert sets[0] == sets[2] != sets[1]
    stored = json.loads(layout.split_file.read_text(encoding="utf-8"))
    assert [entry["seed"] for entry in stored] == [7, 8]


def test_the_folds_of_a_sweep_come_from_one_split_also_after_files_came(make_spec, layout, root):
    folds = {"val_split": None, "folds": 4}
    spec = make_spec({**LR, "dataset.fold": {"choice": [0, 1, 2, 3]}}, dataset=folds)
    configs = [spec.trial_config({"dataset.fold": fold}, fold) for fold in range(4)]
    splits = SweepSplits(spec, layout, [])
    first = [held_out(config, splits.settings(config)) for config in configs[:2]]
    content = layout.split_file.read_bytes()
    for number in range(30):
        (root / "train" / "cat" / f"new{number}.png").touch()
    again = SweepSplits(spec, layout, [trial(0, **{"dataset.fold": 0})])
    after = [held_out(config, again.settings(config)) for config in configs]
    assert [{name for name in of if "new" not in name} for of in after[:2]] == first
    assert sum(map(len, after)) == len(set().union(*after)) == 70
    assert layout.split_file.read_bytes() == content
    (record,) = json.loads(content)
    assert record["folds"] == 4
    assert "fold" not in record


def test_trials_that_split_differently_have_the_same_test_set(make_spec, layout, root):
    shutil.rmtree(root / "test")
    space = {**LR, "dataset.seed": {"choice": [7, 8]}}
    spec = make_spec(space, dataset={"test_split": 0.2})
    tested = []
    splits = SweepSplits(spec, layout, [])
    for seed in (7, 8):
        config = spec.trial_config({"dataset.seed": seed}, 0)
        record = SplitRecord.from_dict(splits.settings(config) or {})
        images = divide(config.dataset, record).images["test"]
        tested.append({image.key for image in images if "new" not in image.key})
        for number in range(30):
            (root / "train" / "cat" / f"new{number}.png").touch()
    assert tested[0] == tested[1]
    stored = json.loads(layout.split_file.read_text(encoding="utf-8"))
    assert stored[0]["test_cuts"] == stored[1]["test_cuts"]
    assert stored[0]["cuts"] != stored[1]["cuts"]


def test_a_trial_whose_data_cannot_be_split_fails_by_itself(make_spec, layout, root):
    spec = make_spec({**LR, "dataset.seed": {"choice": [7, 8]}})
    splits = SweepSplits(spec, layout, [])
    for path in list((root / "train" / "cat").iterdir())[1:]:
        path.unlink()
    assert splits.settings(spec.training) is None


def test_trials_that_continue_a_checkpoint_take_over_its_split(make_spec, layout):
    spec = make_spec(checkpoint={"resume": "some.pt"})
    assert SweepSplits(spec, layout, []).settings(spec.training) is None
    assert not layout.split_file.exists()


def test_data_sets_that_are_no_folders_have_no_file(tiny_data, layout):
    spec = parse_search({"config": tiny_data(), "space": LR, "tune": {"num_samples": 2}})
    assert SweepSplits(spec, layout, [trial(0)]).settings(spec.training) is None
    assert not layout.split_file.exists()


@pytest.mark.parametrize("from_checkpoint", [True, False])
def test_a_lost_split_is_that_of_the_checkpoints_or_of_the_same_draw(
    from_checkpoint, make_spec, layout, root, capsys
):
    spec = make_spec()
    layout.write_sweep(SweepRecord("sweep", "paused", now(), rungs="shares"))
    settings = SweepSplits(spec, layout, []).settings(spec.training)
    split = held_out(spec.training, settings)
    assert settings is not None
    layout.split_file.unlink()
    if from_checkpoint:
        folder = layout.directory / "t0" / "checkpoints"
        folder.mkdir(parents=True)
        record = SplitRecord.from_dict(settings)
        trainer = Trainer(spec.training, allow_custom_model=True, split=record)
        torch.save(trainer.state_dict(), folder / "latest.pt")
        for number in range(30):
            (root / "train" / "cat" / f"new{number}.png").touch()
    splits = SweepSplits(spec, layout, [trial(0), trial(1)])
    again = splits.settings(spec.training)
    assert {name for name in held_out(spec.training, again) if "new" not in name} == split
    assert layout.split_file.exists()
    said = "".join(capsys.readouterr().out.split())
    assert ("thesplitisreadfrom" in said) == from_checkpoint


@pytest.mark.parametrize(
    "content",
    ["", "[", "[{}]", "[1]", "5", '[{"seed": 1}]', '[{"seed":"x","classes":[],"cuts":[]}]'],
)
def test_a_damaged_file_is_named(make_spec, layout, content):
    layout.split_file.write_text(content, encoding="utf-8")
    with pytest.raises(SweepError, match=r"split.json: not the splits .* restore the file"):
        SweepSplits(make_spec(), layout, [])
