"""Damaged files of a sweep: no traceback, no other best trial in silence, a line with the remedy.

Every file of a small finished and a small paused sweep, damaged in every way, under every command
that reads a sweep. The commands that train are tried up to the start of Ray.
"""

from __future__ import annotations

import itertools
import json
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweeps import load_sweep
from sweeps.cli.main import main
from sweeps.results.stored_spec import open_sweep
from sweeps.sweep_dir.errors import SweepError
from tests.support.damaged_sweeps import (
    CHECKPOINTS,
    DAMAGES,
    STARTED_WITH,
    SWEEP_FILES,
    TABLES,
    TRIAL_FILES,
    TRIALS,
    WITHOUT_TYPES,
    add_started_with,
    copy_sweeps,
    file_of,
    set_wrong_types,
)
from trainable.errors import ConfigError

VERBS = (
    *(("list",), ("status",), ("status", "--json"), ("best",), ("best", "--json")),
    *(
        ("show", "BEST"),
        ("show", "BEST", "--json"),
        ("logs", "BEST"),
        ("compare", "BEST", "OTHER"),
    ),
    *(("export",), ("export", "--epochs"), ("export", "--format", "json"), ("plot",)),
    *(("gc", "--dry-run"), ("pause",)),
)
"""Commands and their arguments after the directory of the sweep."""

WRITING_VERBS = (
    ("report", "--output", "OUTPUT.html"),
    ("export", "--format", "optuna", "--output", "OUTPUT.journal"),
    ("gc",),
    ("eval", "--allow-custom-model"),
)
TRAINING_VERBS = (
    ("resume", "--num-samples", "5", "--allow-custom-model", "--address", "CLUSTER"),
    ("extend", "--top", "1", "--epochs", "9", "--allow-custom-model", "--address", "CLUSTER"),
    ("retry", "--allow-custom-model", "--address", "CLUSTER"),
)
"""Commands that train, on a cluster that does not answer: what they read before lies before it."""
REFUSED = ("cannot be joined", "has not finished; finish it first")
"""The refusal of a training command for a sweep whose files are good."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster that refuses every connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # but does not listen
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def sweeps(tmp_path: Path) -> Path:
    """A directory with a finished and a paused sweep."""
    return copy_sweeps(tmp_path)


def run(directory: Path, verb: str, *options: str, cluster: str = "") -> Result:
    best, other = TRIALS[directory.name]
    output = directory.parent / "OUTPUT"
    words = {"BEST": best, "OTHER": other, "CLUSTER": cluster}
    given = [words.get(word, word).replace("OUTPUT", str(output)) for word in options]
    places = {"list": directory.parent, "eval": file_of(directory, "checkpoints/best.pt")}
    result = CliRunner().invoke(main, [verb, str(places.get(verb, directory)), *given])
    for path in directory.parent.glob("OUTPUT.*"):
        path.unlink()
    return result


def describe_wrong(result: Result, directory: Path, verb: str, path: Path) -> str | None:
    """Returns what is wrong with the output of a command under a damaged file, if anything."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"traceback: {result.exception!r}"
    if result.exit_code not in {0, 2}:
        return f"exit code {result.exit_code}"
    if result.exit_code == 2 and any(text in result.output for text in REFUSED):
        return None
    if result.exit_code == 2 and (str(path) not in result.output or len(result.stderr) < 40):
        return f"refused without the file: {result.output}"
    is_printed = bool(result.stdout) and "OUTPUT" not in result.stdout
    if verb in {"status", "best", "list", "export", "plot"} and is_printed:
        best, other = TRIALS[directory.name]
        is_shown = best in result.stdout
        if not is_shown and str(path) not in result.output and "restore" not in result.output:
            return f"{other} is called the best in silence: {result.output}"
    is_ranked = path.name in {"metrics.jsonl", "trial.json"}
    if verb in {"report", "export"} and is_ranked and str(path) not in result.output:
        return f"{path.name} is not named: {result.output}"
    return None


def list_wrong(
    directory: Path, names: Iterable[str], damage: str, verbs: Iterable[Any], cluster: str = ""
) -> list[str]:
    """Damages one file after the other; lists what is wrong with the output of commands."""
    wrong = []
    for name in names:
        path = file_of(directory, name)
        if damage == "wrong types" and name in WITHOUT_TYPES:
            continue
        kept = path.read_bytes()
        DAMAGES[damage](path)
        for verb, *options in verbs:
            before = snapshot(directory)
            result = run(directory, verb, *options, cluster=cluster)
            problem = describe_wrong(result, directory, verb, path)
            if verb != "gc" and snapshot(directory) != before:
                problem = "files have changed"
            if problem is not None:
                wrong.append(f"{name} {damage}, sweep {verb} {' '.join(options)}: {problem}")
        if path.is_dir():
            path.rmdir()
        path.write_bytes(kept)
    return wrong


def snapshot(directory: Path) -> dict[Path, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(("sweep", "damage"), [("finished", "wrong types"), ("paused", "cut")])
def test_some_commands_survive_and_name_the_file_and_the_remedy(
    sweep: str, damage: str, sweeps: Path
) -> None:
    """Each file under a third of the commands, and each command under a third of the files."""
    for number, name in enumerate((*SWEEP_FILES, *TRIAL_FILES)):
        assert list_wrong(sweeps / sweep, [name], damage, VERBS[number % 3 :: 3]) == []


@pytest.mark.slow
@pytest.mark.parametrize(("sweep", "damage"), list(itertools.product(TRIALS, DAMAGES)))
def test_every_command_survives_and_names_the_file_and_the_remedy(
    sweep: str, damage: str, sweeps: Path
) -> None:
    assert list_wrong(sweeps / sweep, (*SWEEP_FILES, *TRIAL_FILES), damage, VERBS) == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("sweep", TRIALS)
def test_commands_that_write_or_train_survive_too_and_change_nothing(
    sweep: str, damage: str, sweeps: Path, cluster: str
) -> None:
    directory = sweeps / sweep
    add_started_with(directory)
    others = (*TABLES, *CHECKPOINTS, *STARTED_WITH)
    verbs = (*WRITING_VERBS, *TRAINING_VERBS)
    names = (*SWEEP_FILES, *TRIAL_FILES, *others)
    assert list_wrong(directory, names, damage, verbs, cluster) == []
    assert list_wrong(directory, others, damage, VERBS) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("metrics.jsonl", "cut"),
        pytest.param("trial.json", "wrong types", marks=pytest.mark.slow),
        pytest.param("checkpoints/best.pt", "cut", marks=pytest.mark.slow),
    ],
)
def test_some_commands_that_write_or_train(
    name: str, damage: str, sweeps: Path, cluster: str
) -> None:
    verbs = (WRITING_VERBS[0], *WRITING_VERBS[-2:], *TRAINING_VERBS[:2])
    assert list_wrong(sweeps / "finished", [name], damage, verbs, cluster) == []


@pytest.mark.parametrize("name", STARTED_WITH)
def test_what_a_sweep_was_started_with_is_read_before_ray_starts(
    name: str, sweeps: Path, cluster: str
) -> None:
    directory = sweeps / "paused"
    add_started_with(directory)
    (resume, *_) = TRAINING_VERBS
    assert "cannot be joined" in run(directory, *resume, cluster=cluster).stderr
    for damage in set(DAMAGES) - {"gone"}:
        path = file_of(directory, name)
        kept = path.read_bytes()
        DAMAGES[damage](path)
        refused = run(directory, *resume, cluster=cluster)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(f"{path}: ")
        assert "restore the file from a copy, or" in refused.stderr
        if path.is_dir():
            path.rmdir()
        path.write_bytes(kept)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_best_trial_stays_the_best_and_its_metrics_are_named(
    damage: str, sweeps: Path
) -> None:
    """`events.jsonl` has what `metrics.jsonl` has lost."""
    directory = sweeps / "finished"
    before = load_sweep(directory).files.best_values()
    path = file_of(directory, "metrics.jsonl")
    DAMAGES[damage](path)
    sweep = load_sweep(directory)
    assert sweep.files.best_values() == before
    (text,) = sweep.damage
    assert text.startswith(f"{path}: ")
    assert "read from events.jsonl" in text
    for verb in (("status",), ("best",), ("show", "BEST"), ("export",), ("list",)):
        assert text in run(directory, *verb).stderr


def test_without_events_the_best_epoch_is_that_of_best_pt(sweeps: Path) -> None:
    directory = sweeps / "finished"
    file_of(directory, "metrics.jsonl").write_bytes(b"")
    (directory / "events.jsonl").unlink()
    sweep = load_sweep(directory)
    assert sweep.files.best_values() == {
        **{"trial": "303c9876", "metric": "val_acc", "value": 0.6875, "epoch": 2}
    }
    assert "read from best.pt" in sweep.damage[0]


def test_a_trial_that_no_file_tells_about_is_named_and_is_not_passed_over(sweeps: Path) -> None:
    directory = sweeps / "finished"
    path = file_of(directory, "metrics.jsonl")
    path.write_bytes(b"")
    (directory / "events.jsonl").unlink()
    shutil.rmtree(path.parent / "checkpoints")
    for verb in (("status",), ("best",), ("export",), ("list",)):
        result = run(directory, *verb)
        assert result.exit_code == 0
        assert f"{path}: is empty; epochs 1 to 3 of trial 303c9876 cannot be read" in result.stderr
        assert "restore the file from a copy" in result.stderr
    refused = run(directory, "extend", "--top", "1", "--epochs", "9")
    assert refused.exit_code == 2
    assert f"{path}: is empty" in refused.stderr


def test_an_unreadable_trial_is_named_and_the_others_are_shown(sweeps: Path) -> None:
    directory = sweeps / "finished"
    path = file_of(directory, "trial.json")
    path.write_text("{}")
    sweep = load_sweep(directory)
    assert [result.record.id for result in sweep.files.results] == ["b3fc065b", "b201af99"]
    (text,) = sweep.damage
    assert text.startswith(f"{path}: not a record of this version: ")
    assert "this trial is left out and may be the best one" in text
    with pytest.raises(SweepError, match="restore the file from a copy"):
        open_sweep(directory)


def test_one_broken_search_file_does_not_hide_the_other_sweeps(sweeps: Path) -> None:
    path = sweeps / "paused" / "search.yaml"
    set_wrong_types(path)
    listed = json.loads(run(sweeps / "finished", "list", "--json").stdout)
    assert {entry["name"]: entry["state"] for entry in listed} == {
        "finished": "finished",
        "paused": "broken",
    }
    with pytest.raises(ConfigError, match=r"tune\.metric") as caught:
        load_sweep(sweeps / "paused")
    assert "restore the file from a copy" in str(caught.value)


def test_gc_removes_a_link_and_leaves_what_it_points_to(sweeps: Path) -> None:
    directory = sweeps / "finished"
    elsewhere = sweeps / "elsewhere"
    (own,) = directory.glob("*_303c9876/checkpoint_*")
    own.rename(elsewhere)
    own.symlink_to(elsewhere)
    result = run(directory, "gc")
    assert (result.exit_code, result.stderr) == (0, "")
    assert not list(directory.glob("*/checkpoint_0*"))
    assert list(elsewhere.iterdir())


def test_a_report_that_cannot_be_written_beside_the_sweep_is_written_elsewhere(
    sweeps: Path,
) -> None:
    directory = sweeps / "finished"
    (directory / "report.html").mkdir()
    refused = run(directory, "report")
    assert refused.exit_code == 2
    assert refused.stderr.strip().endswith("add --output FILE")
    output = sweeps / "elsewhere.html"
    assert run(directory, "report", "--output", str(output)).exit_code == 0
    assert output.stat().st_size > 0
