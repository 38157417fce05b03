"""Every command in README.md, docs/ and the configs exists, and those that do not train run."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.sweep_dir.layout import LOCK_FILE
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from tests.support.image_folders import write_image_folder
from trainable.__main__ import main as train

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEADERS = sorted((ROOT / "configs").rglob("*.yaml"))
SCRIPTS = {"sweeps/run.py": ["run"], "sweeps/restore.py": ["restore"], "sweeps/cli": []}

RUNS = {
    "best", "compare", "export", "gc", "list", "logs", "plan", "plot", "report", "schema", "show",
    "status", "stop", "validate",
}  # fmt: skip
"""Verbs that neither train nor need a cluster."""
STAND_INS = {
    "1b45": "0000",
    "d0cc": "0001",
    "DIR": "experiments/digits_asha",
    "FILE": "configs/search.yaml",
    "search.yaml": "configs/search.yaml",
}
"""Word in a text -> what a user would type for it here."""
FINE_TUNING = "configs/searches/finetune_timm.yaml"


def lines_of_commands(page: Path) -> Iterator[str]:
    """Yields the lines of a page's sh blocks and of its indented commands."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield from block.splitlines()
    yield from re.findall(r"^    ((?:sweep|python) .*)$", text, re.MULTILINE)


def header_commands(path: Path) -> Iterator[str]:
    """Yields the commands in the comment that begins a config, also those over two lines."""
    head = re.match(r"(#.*\n)+", path.read_text(encoding="utf-8"))
    text = re.sub(r" \\\n# +", " ", head[0] if head else "")
    yield from re.findall(r"^# +((?:sweep|python) .*)$", text, re.MULTILINE)


def commands() -> list[list[str]]:
    """Lists the commands of all pages and configs as words, without comments."""
    lines = [line for page in PAGES for line in lines_of_commands(page)]
    lines += [line for path in HEADERS for line in header_commands(path)]
    parts = [part for line in lines for part in line.split("&&")]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def as_sweep(words: list[str]) -> list[str] | None:
    """Returns the words behind `sweep`, also for its scripts; None for another program."""
    if words[0] == "sweep":
        return words[1:]
    if words[0] == "python" and words[1] in SCRIPTS:
        return [*SCRIPTS[words[1]], *words[2:]]
    return None


SWEEP_COMMANDS = [words for command in commands() if (words := as_sweep(command)) is not None]


def test_commands_are_found_on_every_page() -> None:
    assert len(SWEEP_COMMANDS) >= 40
    assert {page.name for page in PAGES if list(lines_of_commands(page))} >= {
        "README.md", "cluster.md", "resuming.md", "search_file.md",
    }  # fmt: skip


@pytest.mark.parametrize("words", SWEEP_COMMANDS, ids=" ".join)
def test_a_shown_sweep_command_is_valid(words: list[str]) -> None:
    """click parses the words and raises for an unknown option or a missing argument."""
    command: click.Command = main
    rest = words
    for depth, word in enumerate(words):
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        command, rest = command.commands[word], words[depth + 1 :]
    command.make_context(words[0], rest)


def test_other_shown_programs_are_known() -> None:
    others = {command[0] for command in commands() if as_sweep(command) is None}
    assert others <= {"pip", "pytest", "export", "python"}
    for command in commands():
        if command[:3] == ["python", "-m", "trainable"]:
            context = train.make_context("trainable", command[3:])
            assert (ROOT / context.params["config"]).exists()


def test_commands_inside_sentences_exist_with_their_options() -> None:
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        for words in map(str.split, re.findall(r"`sweep ([a-z][^`]*)`", text)):
            command = main.commands[words[0]]
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, words


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with the configs, images in folders and two finished sweeps."""
    directory = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        shutil.copytree(ROOT / "configs", "configs")
        write_image_folder(Path("data/images"))
        FakeSweep(Path("experiments", "finetune_timm"), 2, space=ONE_KEY, tune={}).write()
        sweep = FakeSweep(Path("experiments", "digits_asha"), 4, space=ONE_KEY, tune={}).write()
        (sweep / LOCK_FILE).touch()
        for path in sweep.glob("*/checkpoints"):
            (path.parent / "trial.log").write_text("epoch 1/9\n")
        yield directory


def typed(words: list[str]) -> list[str]:
    typed = [STAND_INS.get(word, word) for word in words]
    if words[0] == "plan" and FINE_TUNING in words:
        typed += ["--set", "config.model.pretrained=false"]  # there may be no network
        typed += ["--set", "config.model.batch_norm=train"]
    return typed


RUNNABLE: list[Any] = [
    words
    for words in SWEEP_COMMANDS
    if words[0] in RUNS and not any("://" in word for word in words)
]


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_a_shown_command_runs_as_it_is_typed(words: list[str], place: Path) -> None:
    result = CliRunner().invoke(main, typed([word for word in words if word != "--probe"]))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_the_example_of_a_command_is_refused_only_for_what_is_not_there(
    verb: str, place: Path
) -> None:
    """The examples of the verbs that train: a taken name would be refused."""
    text = " ".join(CliRunner().invoke(main, [verb, "--help"]).output.split())
    (example,) = re.findall(rf"Example: sweep ({verb} .*?)(?= Options:| Arguments?:|$)", text)
    words = typed(shlex.split(example))
    if verb in RUNS:
        result = CliRunner().invoke(main, [word for word in words if word != "--probe"])
        assert result.exit_code == 0, result.output
    elif verb == "run":
        assert any(word.startswith("name=") for word in words), "its sweep exists already"


def test_every_shown_run_of_the_shipped_search_after_the_first_has_a_name_of_its_own() -> None:
    runs = [w for w in SWEEP_COMMANDS if w[:2] == ["run", "configs/search.yaml"]]
    assert len(runs) >= 2
    again = [words for words in runs if len(words) > 2]
    assert again
    assert all(any(word.startswith("name=") for word in words) for words in again)
