"""Every command in README.md, docs/ and the configs exists, and those that do not train run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from tests.support.doc_blocks import PAGES, parse_blocks
from tests.support.doc_places import BEST_IDS, SWEEP, DocPlace
from trainable.__main__ import main as train

ROOT = Path(__file__).parents[2]
HEADERS = sorted((ROOT / "configs").rglob("*.yaml"))
SCRIPTS = {"sweeps/run.py": ["run"], "sweeps/restore.py": ["restore"], "sweeps/cli": []}

RUNS = {
    "best", "compare", "completion", "data", "doctor", "eval", "export", "gc", "list", "logs",
    "pause", "plan", "plot", "predict", "preview", "report", "schema", "show", "status",
    "validate",
}  # fmt: skip
"""Verbs that neither train nor need a cluster."""
STAND_INS = {
    "DIR": "experiments/digits_asha",
    "config.yaml": "configs/resnet20_digits.yaml",
    "FILE": "configs/search.yaml",
    "search.yaml": "configs/search.yaml",
}
"""Word in a text -> what a user would type for it here."""
GENERATED = ROOT / "docs" / "reference" / "commands.md"
"""Its commands are the examples of `--help`, which run by themselves below."""
FINE_TUNING = "configs/searches/finetune_timm.yaml"


def lines_of_commands(page: Path, *, slow: bool = True) -> Iterator[str]:
    """Yields the lines of a page's sh blocks and of its indented commands.

    Args:
        page: The page.
        slow: Whether to include those that test_blocks.py runs.
    """
    text = page.read_text(encoding="utf-8")
    for block in parse_blocks(text, page):
        if block.language == "sh" and "other" not in block.marks and (slow or not block.is_slow):
            yield from block.text.replace("\\\n", " ").splitlines()
    yield from re.findall(r"^    ((?:sweep|python) .*)$", text, re.MULTILINE)


def header_commands(path: Path) -> Iterator[str]:
    """Yields the commands in the comment that begins a config, also those over two lines."""
    head = re.match(r"(#.*\n)+", path.read_text(encoding="utf-8"))
    text = re.sub(r" \\\n# +", " ", head[0] if head else "")
    yield from re.findall(r"^# +((?:sweep|python) .*)$", text, re.MULTILINE)


def commands(*, slow: bool = True) -> list[list[str]]:
    """Lists the different commands of the pages and configs as words, without comments."""
    pages = PAGES if slow else [page for page in PAGES if page != GENERATED]
    lines = [line for page in pages for line in lines_of_commands(page, slow=slow)]
    lines += [line for path in HEADERS for line in header_commands(path)]
    parts = [
        tuple(shlex.split(part, comments=True)) for line in lines for part in line.split("&&")
    ]
    return [list(words) for words in dict.fromkeys(parts) if words]


def as_sweep(words: list[str]) -> list[str] | None:
    """Returns the words behind `sweep`, also for its scripts; None for another program."""
    if words[0] == "sweep":
        return words[1:]
    if words[0] == "python" and words[1] in SCRIPTS:
        return [*SCRIPTS[words[1]], *words[2:]]
    return None


def sweep_commands(*, slow: bool = True) -> list[list[str]]:
    """Lists the words behind `sweep` of the commands of the pages and configs."""
    return [words for command in commands(slow=slow) if (words := as_sweep(command)) is not None]


SWEEP_COMMANDS = sweep_commands()


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
    # A command keeps the names of `--help` that its first context has had.
    command.make_context(words[0], rest, parent=click.Context(main, **main.context_settings))


def test_other_shown_programs_are_known() -> None:
    others = {command[0] for command in commands() if as_sweep(command) is None}
    trackers = {"mlflow", "wandb", "trackio", "optuna-dashboard"}
    assert others <= {"pip", "pytest", "export", "python"} | trackers
    for command in commands():
        if command[:3] == ["python", "-m", "trainable"]:
            context = train.make_context("trainable", command[3:])
            assert (ROOT / context.params["config"]).exists()


def test_commands_inside_sentences_exist_with_their_options() -> None:
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        for words in map(str.split, re.findall(r"`sweep ([a-z][^`]*)`", text)):
            command = main.get_command(click.Context(main), words[0])
            assert command is not None, words
            if isinstance(command, click.Group) and len(words) > 1:
                command = command.get_command(click.Context(command), words[1]) or command
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, words


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with the configs, images in folders and two finished sweeps."""
    place = DocPlace(tmp_path_factory.mktemp("place"))
    place.write()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.directory)
        yield place.directory


def trial_directory() -> Path:
    """Returns the directory of the best trial in the working directory."""
    return next(Path(SWEEP).glob(f"*_{BEST_IDS[0]}"))


def typed(words: list[str]) -> list[str]:
    """Returns what a user would type here: with the names of this directory's sweep and files."""
    typed = [STAND_INS.get(word, word) for word in words]
    typed = [re.sub(r"^(experiments/\w+/)?TRIAL(?=/)", str(trial_directory()), w) for w in typed]
    typed = [re.sub(r"^experiments/\w+$", SWEEP.as_posix(), word) for word in typed]
    is_other = re.compile(rf"(?!{BEST_IDS[1][:4]})[0-9a-f]{{4}}").fullmatch
    typed = [BEST_IDS[0] if is_other(word) else word for word in typed]
    if words[0] == "plan" and FINE_TUNING in words:
        typed += ["--set", "config.model.pretrained=false"]  # there may be no network
        typed += ["--set", "config.model.batch_norm=train"]
    return typed


RUNNABLE: list[Any] = [
    words
    for words in sweep_commands(slow=False)
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
