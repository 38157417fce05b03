"""Tests of `sweeps.init.draft`: files for every kind of data, preset, model and machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.init.backbones import PresetName
from sweeps.init.draft import Draft, Wishes, make_draft, write_draft
from sweeps.init.machine import Machine
from sweeps.init.new_files import SEARCH, TRAINING
from sweeps.spec.load import load_search
from tests.support.new_sweeps import (
    CPU,
    DATA,
    GPU,
    LITE,
    forbid_network,
    lay_backbones,
    write_data,
)
from trainable.errors import ConfigError, TuneSweepsError

CONVNEXT = "timm/convnext_atto"
MODELS = (None, "resnet20", LITE, CONVNEXT, "tiny_models:pooled_cnn")
EIGHT_PIXELS = ("digits", "arrays.npz", "own_data:arrays")
"""Data whose images are too small for `CONVNEXT`."""
PRESETS: tuple[PresetName, ...] = ("quick", "good", "best")
DEFAULT = re.compile(r"^(\s*)# (\w+: .*?)\s+# default\. ", re.MULTILINE)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    write_data(directory)
    return directory


@pytest.fixture(autouse=True)
def _cached_weights(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works beside the data, with the weights of some backbones and without a network."""
    monkeypatch.chdir(written)
    forbid_network(tmp_path, monkeypatch)
    lay_backbones(tmp_path, LITE, "timm/convnext_nano", "timm/convnext_tiny")


def draft_of(directory: Path, data: str, machine: Machine = CPU, **wishes: object) -> Draft:
    return make_draft(
        Wishes(data, directory, allow_custom_model=True, **wishes),  # type: ignore[arg-type]
        machine,
    )


def uncomment_defaults(directory: Path) -> int:
    """Sets every key that stands in the files as a comment; returns their number."""
    count = 0
    for name in (SEARCH, TRAINING):
        text = (directory / name).read_text(encoding="utf-8")
        text, changed = DEFAULT.subn(r"\1\2  # ", text)
        (directory / name).write_text(text, encoding="utf-8")
        count += changed
    return count


def check(directory: Path, draft: Draft) -> None:
    """Checks the files: they are read as what was checked, and every line of them is true."""
    write_draft(draft)
    loaded = load_search(directory / SEARCH)
    assert loaded.to_dict() == draft.spec.to_dict()
    assert list(uncommented_keys(directory)) == []
    is_changed = "given with --set" in draft.training_text
    assert is_changed == bool(draft.wishes.changes)
    assert uncomment_defaults(directory) >= 15
    explicit = load_search(directory / SEARCH)
    assert explicit.training == loaded.training
    assert {**explicit.to_dict(), "config": None} == {**loaded.to_dict(), "config": None}
    assert draft.size.fits or "pauses" in draft.expected


def uncommented_keys(directory: Path) -> Iterator[str]:
    """Yields the lines that set a key and have no comment on them or above them."""
    for name in (SEARCH, TRAINING):
        before = ""
        for line in (directory / name).read_text(encoding="utf-8").splitlines():
            is_plain = re.fullmatch(r"\w+:|# .*", line) is not None
            if not is_plain and "  # " not in line and not before.lstrip().startswith("# "):
                yield line
            before = line


@pytest.mark.parametrize(
    ("data", "model"),
    [("digits", None), ("table.csv", "resnet20"), ("own_data:arrays", None)],
)
def test_files_for_every_kind_of_data_are_read_as_they_were_checked(
    data: str, model: str | None, tmp_path: Path
) -> None:
    check(tmp_path / "new", draft_of(tmp_path / "new", data, model=model))


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("machine", [CPU, GPU], ids=["cpu", "gpu"])
def test_files_for_every_preset_are_read_as_they_were_checked(
    preset: PresetName, machine: Machine, tmp_path: Path
) -> None:
    draft = draft_of(tmp_path / "new", "folder", machine, preset=preset)
    check(tmp_path / "new", draft)
    assert draft.spec.training.model.pretrained is True
    assert (draft.spec.resources.gpu == "auto") == (machine is GPU)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", DATA)
def test_files_for_every_combination_are_read_as_they_were_checked(
    data: str, model: str | None, tmp_path: Path
) -> None:
    for preset, machine in zip(PRESETS, (CPU, GPU, CPU), strict=True):
        directory = tmp_path / preset
        if model == CONVNEXT and data in EIGHT_PIXELS:
            with pytest.raises(ConfigError, match="cannot be run on images"):
                draft_of(directory, data, machine, model=model, preset=preset)
        else:
            check(directory, draft_of(directory, data, machine, model=model, preset=preset))


def test_quick_on_few_photographs_trains_a_classifier_on_stored_features(tmp_path: Path) -> None:
    draft = draft_of(tmp_path / "new", "flat")
    check(tmp_path / "new", draft)
    config, tune = draft.spec.training, draft.spec.tune
    assert (config.model.name, config.model.freeze) == (LITE, "backbone")
    assert (config.dataset.augment, config.dataset.root) == (False, str(Path("flat").absolute()))
    assert "root: flat " in draft.training_text
    assert getattr(config.dataset, "test_split", None) == 0.2
    assert (tune.time_budget, tune.num_samples, tune.metric) == (600, 8, "val_loss")
    assert draft.size.seconds < 300


def test_a_change_is_in_the_config_and_not_in_the_space(tmp_path: Path) -> None:
    changes = {"optimizer.learning_rate": 0.003, "training.epochs": 5, "augment.rotation": 5}
    draft = draft_of(tmp_path, "digits", changes=changes)
    assert "optimizer.learning_rate" not in draft.spec.space
    config = draft.spec.training
    assert (config.optimizer.learning_rate, config.training.epochs) == (0.003, 5)
    assert config.augment.rotation == 5
    assert re.search(r"learning_rate: 0.003 +# given with --set\n", draft.training_text)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dataset.folds": 3}, {"repeats": 3}),
        ({"training.epochs": 1}, {"scheduler": "fifo"}),
        ({"model.name": "cnv"}, {}),
        ({"optimizer.name": "adamw", "optimizer.learning_rate": 1e-3}, {}),
    ],
)
def test_the_rest_of_the_files_follows_a_change(
    changes: dict[str, object], expected: dict[str, object], tmp_path: Path
) -> None:
    draft = draft_of(tmp_path / "new", "digits", changes=changes)
    check(tmp_path / "new", draft)
    tune = draft.spec.tune
    values = {"repeats": tune.repeats, "scheduler": tune.scheduler.name}
    assert {**values, **expected} == values


def test_without_weights_a_small_network_is_trained_and_the_notes_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_network(tmp_path / "elsewhere", monkeypatch)
    draft = draft_of(tmp_path, "folder")
    assert draft.spec.training.model.name == "resnet20"
    assert draft.spec.training.model.pretrained is False
    (note,) = draft.notes
    pattern = r"no pretrained weights \((.*)\): a small network is trained from scratch, .*"
    match = re.fullmatch(pattern, note)
    assert match is not None
    of_timm, of_torchvision = match[1].split("; ")
    assert of_timm == "HF_HUB_OFFLINE is set"
    assert of_torchvision.startswith("download.pytorch.org cannot be reached: ")
    assert note.endswith(f"add --model {LITE} --weights FILE")


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / TRAINING).write_text("mine", encoding="utf-8")
    with pytest.raises(TuneSweepsError, match=r"training.yaml exists, and nothing is replaced"):
        draft_of(tmp_path / "new", "digits")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [TRAINING]


def test_a_name_that_is_taken_is_refused_or_gets_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "digits_quick").mkdir(parents=True)
    assert draft_of(tmp_path, "digits").spec.name == "digits_quick_2"
    with pytest.raises(TuneSweepsError, match="experiments/digits_quick exists; choose another"):
        draft_of(tmp_path, "digits", name="digits_quick")
    with pytest.raises(ConfigError, match="--name: must be one directory's name"):
        draft_of(tmp_path, "digits", name="a/b")


def test_a_link_to_a_folder_gives_the_sweep_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(Path("flat").absolute())
    draft = draft_of(tmp_path, str(tmp_path / "photos"), model="resnet20")
    assert draft.spec.name == "photos_quick"


def test_a_plan_that_is_too_long_for_the_users_budget_says_that_it_pauses(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, "cifar10", budget_s=600.0)
    assert draft.expected.endswith("the budget is 10m, after which the sweep pauses")
    assert draft.spec.tune.time_budget == 600
    longer = draft_of(tmp_path, "cifar10")
    assert longer.spec.tune.time_budget is not None
    assert longer.spec.tune.time_budget > longer.size.seconds > 600


@pytest.mark.slow
def test_a_probe_measures_the_time_of_an_epoch(tmp_path: Path) -> None:
    wishes = Wishes("digits", tmp_path, changes={"dataset.num_workers": 0})
    draft = make_draft(wishes, CPU, probes=True)
    assert draft.given.is_measured
    assert draft.given.slowness > 0
    assert ", by a few batches that were trained here; " in draft.expected
