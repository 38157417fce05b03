"""Tests of the examples that `sweep init` copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.init.examples import list_examples
from sweeps.spec.load import load_search
from sweeps.terminal.commands import sweep_command, train_command
from tests.integration.commands import invoke, refusal

CONFIGS = Path(__file__).parents[4] / "configs"
SEARCHES = [CONFIGS / "search.yaml", *sorted((CONFIGS / "searches").iterdir())]
CLUSTER = sorted((CONFIGS / "cluster").iterdir())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_a_copy_is_the_same_search(path: Path) -> None:
    shipped = load_search(path)
    result = invoke("init", "new", "--example", shipped.name)
    assert result.exit_code == 0, result.output
    copy = Path("new/search.yaml")
    run = sweep_command("run", copy)
    assert result.stdout.splitlines() == [
        "wrote new/training.yaml and new/search.yaml",
        f"run it: {run}",
    ]
    assert load_search(copy).model_dump() == shipped.model_dump()
    commands = {copy: run, Path("new/training.yaml"): train_command(Path("new/training.yaml"))}
    for file, command in commands.items():
        first, second, *_ = file.read_text(encoding="utf-8").splitlines()
        assert first == f"# {command}"
        schema = second.removeprefix("# yaml-language-server: $schema=")
        assert (file.parent / schema).read_bytes() == (CONFIGS / schema).read_bytes()


@pytest.mark.parametrize("path", CLUSTER, ids=lambda path: path.stem)
def test_a_file_for_a_cluster_is_copied_with_the_paths_of_here(path: Path) -> None:
    assert invoke("init", "there", "--example", path.stem).exit_code == 0
    copy = Path("there", path.name).read_text(encoding="utf-8")
    assert copy == path.read_text(encoding="utf-8").replace("configs/cluster/", "there/")


def test_every_example_is_listed_with_what_it_does() -> None:
    listed = list_examples()
    stems = ["digits_asha", *(path.stem for path in [*SEARCHES[1:], *CLUSTER])]
    assert [example.name for example in listed] == stems
    assert listed[0].summary.startswith("About a minute on 2 CPU cores; best val_acc 0.98")
    assert all(len(example.summary) > 40 for example in listed)
    printed = invoke("init", "--list").stdout.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in printed] == [
        (example.name, example.summary) for example in listed
    ]
    assert [line for line in printed if line != line.rstrip()] == []
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--example", "digits_tp"], 'found "digits_tp"; did you mean "digits_tpe"?'),
        (["--example", "digits_tpe", "--data", "digits"], "give no other option with it"),
        (["--example", "digits_tpe", "--set", "seed.value=1"], "give no other option with it"),
    ],
)
def test_a_wrong_wish_writes_nothing(options: list[str], message: str) -> None:
    assert message in refusal("init", *options)


def test_no_file_is_replaced() -> None:
    Path("training.yaml").write_text("mine", encoding="utf-8")
    text = refusal("init", "--example", "digits_tpe")
    assert "training.yaml exists" in text
    assert "as in sweep init another --example digits_tpe, or remove it" in text
    text = refusal("init", "--data", "digits", "--time", "3m")
    assert "as in sweep init another --data digits --time 3m, or remove it" in text
    assert Path("training.yaml").read_text(encoding="utf-8") == "mine"
