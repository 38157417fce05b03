"""Tests of `sweep init` as it is typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import Result

from sweeps.spec.load import load_search
from tests.integration.commands import invoke, refusal


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def last_line(result: Result) -> str:
    return result.stdout.splitlines()[-1]


def test_the_command_that_is_printed_at_the_end_works() -> None:
    result = invoke("init", "new", "--data", "digits", "--time", "3m", "--set", "seed.value=7")
    assert result.exit_code == 0, result.output
    start = "run it: sweep run "
    assert last_line(result) == f"{start}new/search.yaml"
    spec = load_search(last_line(result).removeprefix(start))
    assert (spec.tune.time_budget, spec.training.seed.value) == (180, 7)
    first, second, *_ = Path("new/training.yaml").read_text(encoding="utf-8").splitlines()
    assert first == "# python -m trainable new/training.yaml"
    command = shlex.split(second.removeprefix("# Written by: "))
    Path("new").rename("old")
    assert invoke(*command[1:]).exit_code == 0
    for name in ("search.yaml", "training.yaml"):
        assert Path("new", name).read_bytes() == Path("old", name).read_bytes()


def test_nothing_is_asked_without_a_terminal() -> None:
    text = refusal("init")
    assert "--data is required where nothing can be asked, e.g. --data photos" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "photos"], "--data: there is no file or folder photos"),
        (["--data", "digits", "--time", "soon"], "--time: must be seconds or a text such as 90s"),
        (["--data", "digits", "--time", "-5"], "--time: must be > 0, found -5"),
        (["--data", "digits", "--model", "resnet21"], 'unknown name, found "resnet21"'),
        (["--data", "digits", "--set", "training.epoch=3"], "epoch: unknown key"),
        (["--data", "digits", "--set", "dataset.folds=1"], "folds: must be >= 2, found 1"),
        (["--data", "no_such:data"], "--allow-custom-model"),
    ],
)
def test_bad_input_writes_nothing(arguments: list[str], message: str) -> None:
    assert message in refusal("init", *arguments)
