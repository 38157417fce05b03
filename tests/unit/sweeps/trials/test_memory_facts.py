"""Out-of-memory failures: which trainings are alike, what a failure rules out, and the file."""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.trials.memory_facts import FILE, MemoryFact, MemoryFile, find_failure, setting_of
from trainable.config import parse_config

FACT = MemoryFact(
    outcome="failed",
    setting="0123",
    model="resnet20",
    device="A GPU (8.0 GiB)",
    share=1.0,
    images=128,
    sweep="digits",
    trial="a1",
    time="2026-11-29T02:00:00+00:00",
)


CONFIG: dict[str, dict[str, Any]] = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 2},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def setting(**sections: Mapping[str, Any]) -> str:
    merged = {key: {**CONFIG.get(key, {}), **sections.get(key, {})} for key in CONFIG | sections}
    return setting_of(parse_config(merged).to_dict())


@pytest.mark.parametrize(
    ("sections", "same"),
    [
        ({"optimizer": {"learning_rate": 1e-4, "weight_decay": 0.0, "momentum": 0.5}}, True),
        ({"training": {"batch_size": 512, "accumulation_steps": 4, "epochs": 60}}, True),
        ({"training": {"early_stopping": {"patience": 3}}, "seed": {"value": 7}}, True),
        ({"dataset": {"root": "/elsewhere", "num_workers": 0, "val_split": None}}, True),
        (
            {"scheduler": {"name": "step", "step_size": 5}, "checkpoint": {"dir": "elsewhere"}},
            True,
        ),
        ({"augment": {"rotation": 0.0}}, True),
        ({"augment": {"rotation": 15.0}}, False),
        ({"model": {"name": "resnet32"}}, False),
        ({"dataset": {"name": "mnist"}}, False),
        ({"optimizer": {"momentum": 0.0}}, False),
        ({"optimizer": {"name": "adam"}}, False),
        ({"amp": {"enabled": True}}, False),
        ({"ema": {"enabled": True}}, False),
        ({"training": {"compile": True}}, False),
        ({"model": {"num_classes": 100}}, False),
    ],
)
def test_trainings_are_alike_that_need_the_same_memory(
    sections: dict[str, Mapping[str, Any]], same: bool
) -> None:
    assert (setting(**sections) == setting()) == same


def test_the_amounts_of_one_recipe_are_alike() -> None:
    small, large = (setting(augment={"rotation": angle}) for angle in (5.0, 15.0))
    assert small == large
    args = {"name": "timm/resnet18", "args": {"drop_path_rate": 0.1}}
    assert setting(model=args) != setting(model={**args, "args": {"drop_path_rate": 0.2}})


def test_values_that_pbt_changes_stand_at_the_top_of_a_config() -> None:
    config = parse_config(CONFIG).to_dict()
    expected = setting_of(config)
    rate = config["optimizer"].pop("learning_rate")
    assert (
        setting_of({**config, "optimizer.learning_rate": rate, "_trial": {"gpu": 0}}) == expected
    )


def completed(images: int, share: float = 1.0) -> MemoryFact:
    return replace(FACT, outcome="completed", images=images, share=share)


def failed(images: int, share: float = 1.0) -> MemoryFact:
    return replace(FACT, images=images, share=share)


@pytest.mark.parametrize(
    ("facts", "share", "images", "expected"),
    [
        ([], 1.0, 10**6, None),
        ([failed(128)], 1.0, 127, None),
        ([failed(128)], 1.0, 128, 128),
        ([failed(128)], 1.0, 1024, 128),
        ([failed(256), failed(128)], 1.0, 512, 128),
        # A failure with more memory also holds for less of it.
        ([failed(128, 0.5)], 0.25, 128, 128),
        ([failed(128, 0.25)], 0.5, 128, None),
        # A success raises the bound, until a later failure lowers it again.
        ([failed(128), completed(128)], 1.0, 128, None),
        ([failed(128), failed(512), completed(256)], 1.0, 512, 512),
        ([failed(128), completed(64)], 1.0, 128, 128),
        ([failed(128), completed(128), failed(128)], 1.0, 128, 128),
        ([failed(128, 0.25), completed(128, 1.0)], 0.25, 128, 128),
        ([failed(128, 1.0), completed(128, 0.25)], 1.0, 128, None),
    ],
)
def test_a_failure_holds_for_its_size_and_more_until_a_success(
    facts: list[MemoryFact], share: float, images: int, expected: int | None
) -> None:
    failure = find_failure(facts, share, images)
    assert (failure and failure.images) == expected


def test_the_file_is_in_the_users_directory_for_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNE_SWEEPS_MEMORY")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = MemoryFile()
    assert file.path == tmp_path / "tune-sweeps" / FILE
    assert file.read() == ([], 0)
    file.append(FACT)
    assert [json.loads(line) for line in file.path.read_text().splitlines()] == [asdict(FACT)]
    assert file.read() == ([FACT], 0)


def test_a_damaged_line_is_left_out_and_ends_before_the_next_fact(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / FILE)
    file.append(FACT)
    with file.path.open("ab") as damaged:
        damaged.write(b'\x00\xff\n{"outcome": "other"}\n[]\n' + file.path.read_bytes()[:40])
    file.append(replace(FACT, images=64))
    facts, lines = file.read()
    assert [fact.images for fact in facts] == [128, 64]
    assert lines == 4


def test_sweeps_that_append_at_the_same_time_write_whole_lines(tmp_path: Path) -> None:
    def append(number: int) -> None:
        for images in range(50):
            MemoryFile(tmp_path / FILE).append(replace(FACT, trial=str(number), images=images))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    facts, damaged = MemoryFile(tmp_path / FILE).read()
    assert (len(facts), damaged) == (200, 0)
    for number in range(4):
        assert [f.images for f in facts if f.trial == str(number)] == list(range(50))
