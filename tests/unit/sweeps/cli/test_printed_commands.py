"""Every command that is printed can be typed as it is, in a directory with awkward names."""

import html
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sweeps.cli.main import main
from sweeps.cli.summary import print_summary
from sweeps.report.page import write_report
from sweeps.results.outcome import Outcome
from sweeps.results.trial_results import read_results
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.__main__ import main as train
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.training.trainer import Trainer

VERBS = "|".join(main.commands)
PRINTED = re.compile(
    rf"(?:^|(?<=[ (:]))((?:sweep (?:{VERBS})|python -m trainable) .*?)(?=$|; )", re.MULTILINE
)
"""A command at the beginning of a line or behind the words that introduce it."""
OWN_CODE = "tiny_models:mlp"
NEED_OWN_CODE = {
    "run", "resume", "retry", "extend", "eval", "restore", "export-model", "trainable",
}  # fmt: skip
ADDRESS = "10.0.0.1:6379"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a blank and a quote in its path; no command may need it."""
    directory = tmp_path_factory.mktemp("it's here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        yield directory


@pytest.fixture(scope="module")
def sweeps(place: Path, tiny_trainer: Callable[..., Trainer]) -> dict[str, Path]:
    """State -> a sweep of a model of the user's own, last run on a cluster."""
    directories = {}
    options: dict[str, Any] = {
        "finished": {"states": {1: "failed"}},
        "paused": {"state": "paused", "states": {3: "paused"}},
    }
    for state, more in options.items():
        path = Path("my experiments", f"{state}'s")
        FakeSweep(path, 4, epochs=2, space=ONE_KEY, tune={}, **more).write()
        (path / LOCK_FILE).touch()
        for file in [path / "search.yaml", *path.glob("*/config.yaml")]:
            file.write_text(file.read_text().replace("resnet20", OWN_CODE))
        for file in path.glob("*/checkpoints/*.pt"):
            write_checkpoint(tiny_trainer().state_dict(), [file])
        layout = SweepLayout(path)
        record = layout.read_sweep()
        record.address = ADDRESS
        layout.write_sweep(record)
        directories[state] = path
    return directories


def invoke(words: list[str]) -> Result:
    program, *rest = words
    if program == "python":
        return CliRunner().invoke(train, rest[2:])
    return CliRunner().invoke(main, rest, prog_name=program)


def commands_in(text: str) -> list[list[str]]:
    """Returns the words of every command in a text."""
    commands = [shlex.split(command) for command in PRINTED.findall(text)]
    assert commands, text
    return commands


@pytest.fixture(scope="module")
def printed(sweeps: dict[str, Path]) -> list[list[str]]:
    """Commands that the commands for these sweeps print."""
    finished, paused = sweeps["finished"], sweeps["paused"]
    texts = [
        invoke(["sweep", "status", str(paused)]).output,
        invoke(["sweep", "best", str(finished)]).output,
        invoke(["sweep", "run", str(paused / "search.yaml")]).output,
        invoke(["sweep", "extend", str(paused), "--top", "1", "--epochs", "9"]).output,
    ]
    with sweep_lock(paused):
        texts.append(invoke(["sweep", "pause", str(paused)]).output)
        texts.append(invoke(["sweep", "resume", str(paused)]).output)
    SweepLayout(paused).stop_file.unlink()
    return [words for text in texts for words in commands_in(text)]


def verb_of(words: list[str]) -> str:
    return words[2] if words[0] == "python" else words[1]


def test_the_texts_print_every_kind_of_command(printed: list[list[str]]) -> None:
    verbs = {verb_of(words) for words in printed}
    assert verbs == {"resume", "eval", "restore", "trainable", "pause", "export-model"}


def test_a_printed_command_names_paths_from_here_and_has_the_flags_it_needs(
    printed: list[list[str]],
) -> None:
    for words in printed:
        path = next(word for word in words if "experiments" in word)
        assert Path(path).exists(), words
        assert not Path(path).is_absolute(), words
        assert ("--allow-custom-model" in words) == (verb_of(words) in NEED_OWN_CODE), words
        assert (ADDRESS in words) == (verb_of(words) == "resume"), words


def test_a_printed_command_is_valid(printed: list[list[str]]) -> None:
    for words in printed:
        if words[0] == "sweep":
            command = main.commands[words[1]]
            parent = click.Context(main, **main.context_settings)
            command.make_context(words[1], words[2:], parent=parent)
        else:
            train.make_context("trainable", words[3:])


def test_a_printed_command_that_uses_one_trial_does_what_it_says(
    printed: list[list[str]], place: Path
) -> None:
    singles = {
        verb_of(words): words
        for words in printed
        if verb_of(words) in {"eval", "restore", "trainable"}
    }
    for words in singles.values():
        result = invoke(words)
        assert result.exit_code == 0, result.output
    assert "test_acc" in invoke(singles["eval"]).output
    restored = [path for path in Path("experiments").iterdir() if path.is_dir()]
    assert len(restored) == 1
    assert singles["restore"][-3:] == ["--epochs", "4", "--allow-custom-model"]


def test_the_summary_prints_commands_that_can_be_typed(
    sweeps: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for state, verbs in (
        ("finished", {"logs", "retry", "eval", "restore", "export-model"}),
        ("paused", {"eval", "restore", "resume", "export-model"}),
    ):
        directory = sweeps[state].absolute()
        results = read_results(directory, "val_acc", "max")
        record = SweepLayout(directory).read_sweep()
        no_grid: Any = None
        print_summary(Outcome(directory, record, results, {"val_acc": "max"}, 2, no_grid))
        words = commands_in(capsys.readouterr().out)
        assert {verb_of(command) for command in words} == verbs
        for command in words:
            assert Path(command[2]).exists(), command
            assert ("--allow-custom-model" in command) == (verb_of(command) in NEED_OWN_CODE)


def test_the_report_prints_commands_for_any_directory(sweeps: dict[str, Path]) -> None:
    page = write_report(sweeps["finished"]).read_text(encoding="utf-8")
    texts = re.findall(r"<code>(sweep (?:eval|restore|export-model) .*?)</code>", page, re.DOTALL)
    assert len(texts) == 3
    for command in commands_in(html.unescape("\n".join(texts))):
        assert Path(command[2]).is_absolute()
        assert Path(command[2]).exists()
        assert command[-1] == "--allow-custom-model"
