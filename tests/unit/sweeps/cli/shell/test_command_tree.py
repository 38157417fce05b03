"""The file with all commands completes a command line as the commands themselves do."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from sweeps.cli.__main__ import main as run_program
from sweeps.cli.main import SECTIONS, main
from sweeps.cli.setup.completion import INSTALL
from sweeps.cli.shell.candidates import CHECKPOINTS, SWEEP_FILE, TRIAL_FILE
from sweeps.cli.shell.command_tree import completion_data, read_commands
from sweeps.cli.shell.keys import list_assignable_keys
from sweeps.cli.shell.parameter_types import COMMANDS_FILE
from sweeps.cli.shell.scripts import VARIABLE
from sweeps.init.examples import list_examples
from sweeps.sweep_dir import layout
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.artifacts import names

ROOT = Path(__file__).parents[5]


def complete_with(commands: click.Group, *words: str) -> list[str]:
    shell = ShellComplete(commands, {}, "sweep", VARIABLE)
    items = shell.get_completions(list(words[:-1]), words[-1])
    return [f"{item.value}<{item.type}>" if item.type != "plain" else item.value for item in items]


def complete(*words: str) -> list[str]:
    """Returns what the last word may become; `<dir>` stands for the shell's own directories."""
    completed = complete_with(read_commands(), *words)
    assert completed == complete_with(main, *words)
    return completed


@pytest.fixture
def trials(working_directory: Path) -> list[str]:
    """Writes `experiments/digits` and another sweep; returns the ids of the first one's trials."""
    directory = FakeSweep(Path("experiments", "digits"), trials=3, space=ONE_KEY, tune={}).write()
    FakeSweep(Path("experiments", "cifar"), trials=1, space=ONE_KEY, tune={}).write()
    Path("experiments", "notes").mkdir()
    return [record.id for record in layout.SweepLayout(directory).read_trials()]


def test_the_file_with_all_commands_is_current() -> None:
    examples = [example.name for example in list_examples()]
    current = completion_data(main, list_assignable_keys(), examples)
    assert COMMANDS_FILE.read_text(encoding="utf-8") == current, (
        "docs/generate_tables.py writes it"
    )


def test_names_of_files_are_those_that_the_sweeps_have() -> None:
    assert (SWEEP_FILE, TRIAL_FILE) == (layout.SWEEP_FILE, layout.TRIAL_FILE)
    assert CHECKPOINTS == names.CHECKPOINTS


def test_a_key_press_imports_no_models_of_files(project_environment: dict[str, str]) -> None:
    """They take most of a second to import."""
    script = "import sys, sweeps.cli.__main__ as m\ntry: m.main()\nfinally: print(*sys.modules)"
    line = {VARIABLE: "bash_complete", "COMP_WORDS": "sweep run --set tune.se", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**project_environment, **line},
        capture_output=True,
        text=True,
        check=False,
    )
    *completed, modules = done.stdout.splitlines()
    assert completed == ["plain,tune.search_alg.", "plain,tune.seed="]
    assert not {"pydantic", "numpy", "rich", "torch", "ray"} & set(modules.split())


def test_an_empty_variable_asks_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(sys, "argv", ["sweep", "validate", str(ROOT / "configs" / "search.yaml")])
    with pytest.raises(SystemExit):
        run_program()
    assert "valid; 16 trials" in capsys.readouterr().out


def test_commands_aliases_and_options() -> None:
    commands = [command.name for section in SECTIONS.values() for command in section]
    assert complete("") == commands
    assert complete("res") == ["resume", "restore"]
    assert complete("jobs", "") == ["status", "logs", "pause"]
    assert complete("trial", "re") == ["resume", "retry"]
    assert complete("resume", "--num") == ["--num-samples"]
    assert complete("continue", "--t") == ["--top", "--trials"]
    assert complete("best", "-") == ["--json", "-h", "--help"]
    assert complete("completion", "") == list(INSTALL)
    assert complete("export", "d", "--format", "p") == ["parquet"]
    assert complete("init", "--example", "digits_") == [
        "digits_asha",
        "digits_grid",
        "digits_pbt",
        "digits_tpe",
    ]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("", ["experiments/cifar", "experiments/digits"]),
        ("exp", ["experiments/cifar", "experiments/digits"]),
        ("experiments/d", ["experiments/digits"]),
        ("./experiments/c", ["./experiments/cifar"]),
        ("experiments/notes", ["experiments/notes<dir>"]),
        ("elsewhere/x", ["elsewhere/x<dir>"]),
    ],
)
def test_sweeps_or_directories_without_any(
    start: str, expected: list[str], trials: list[str]
) -> None:
    for words in (["status"], ["run", "--resume"], ["stop"], ["trial", "retry"], ["doctor"]):
        assert complete(*words, start) == expected


def test_sweeps_below_the_home_directory(
    trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert complete("status", "~/experiments/d") == ["~/experiments/digits"]


def test_a_name_that_needs_quotes_is_left_to_the_shell(trials: list[str]) -> None:
    Path("experiments", "digits").rename(Path("experiments", "my digits"))
    assert complete("status", "experiments/") == ["experiments/cifar"]
    assert complete("status", "experiments/m") == ["experiments/m<dir>"]


@pytest.mark.parametrize(
    "words",
    [
        *(["show", "SWEEP"], ["logs", "SWEEP"], ["compare", "SWEEP"], ["trial", "stop", "SWEEP"]),
        *(["trial", "add", "SWEEP", "--like"], ["extend", "SWEEP", "--trials"]),
    ],
    ids=" ".join,
)
def test_trials_of_the_sweep_before(words: list[str], trials: list[str]) -> None:
    words = ["experiments/digits" if word == "SWEEP" else word for word in words]
    assert sorted(complete(*words, "")) == sorted(trials)
    assert complete(*words, trials[1][:7]) == [trials[1]]


def test_trials_of_no_sweep_and_several_trials(trials: list[str]) -> None:
    assert complete("show", "experiments/none", "") == []
    assert complete("show", "s3://bucket/digits", "") == []
    assert complete("compare", "experiments/digits", trials[0], trials[1]) == [trials[1]]
    several = complete("extend", "experiments/digits", "--trials", f"{trials[0]},{trials[1][:7]}")
    assert several == [f"{trials[0]},{trials[1]}"]


def test_search_files_and_directories(working_directory: Path) -> None:
    for name in (
        "configs/searches/a.yaml",
        "configs/search.yaml",
        "configs/b.yml",
        "configs/c.py",
    ):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).touch()
    for verb in ("run", "validate", "plan", "preview", "submit"):
        assert complete(verb, "") == ["configs/"]
        inside = ["configs/b.yml", "configs/search.yaml", "configs/searches/"]
        assert complete(verb, "configs/") == inside
        assert complete(verb, "configs/searches/") == ["configs/searches/a.yaml"]
        assert complete(verb, "configs/x") == ["configs/x<file>"]


def test_checkpoints_and_those_of_trials_in_the_place_of_their_directories(
    trials: list[str],
) -> None:
    Path("mine.pt").touch()
    records = layout.SweepLayout(Path("experiments", "digits")).read_trials()
    one = f"experiments/digits/{records[0].directory}/checkpoints/"
    for verb in ("restore", "eval", "predict", "export-model"):
        assert complete(verb, "") == ["mine.pt", "experiments/"]
        assert complete(verb, "experiments/digits/") == sorted(
            f"experiments/digits/{record.directory}/checkpoints/{name}"
            for record in records
            for name in ("best.pt", "latest.pt")
        )
        assert complete(verb, f"{one}b") == [f"{one}best.pt"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--set", "tune.se"], ["tune.search_alg.", "tune.seed="]),
        (["run", "--set", "config.optimizer.le"], ["config.optimizer.learning_rate="]),
        (["run", "--set", "res"], ["resources."]),
        (["run", "--set", "tune.seed=1"], []),
        (["restore", "a.pt", "--set", "augment.mix"], ["augment.mixup=", "augment.mixup."]),
        (["restore", "a.pt", "--set", "tune.seed"], []),
        (["data", "d", "--set", "ema.e"], ["ema.enabled="]),
        (["data", "d", "--set", "config.ema.e"], ["config.ema.enabled="]),
        (["set", "d", "tune.t"], ["tune.target=", "tune.time_budget="]),
        (["set", "d", "tune.target=1", "keep.t"], ["keep.trials="]),
        (["set", "d", "tune.seed"], []),
    ],
    ids=lambda value: " ".join(value),
)
def test_keys_of_the_files_part_by_part(words: list[str], expected: list[str]) -> None:
    assert complete(*words) == expected


def test_every_key_that_is_completed_is_one_of_its_file() -> None:
    keys = json.loads(COMMANDS_FILE.read_text(encoding="utf-8"))["keys"]
    schema = json.loads((ROOT / "configs" / "search.schema.json").read_text(encoding="utf-8"))
    assert "log_to.wandb" in keys["settings"]
    assert {key.partition(".")[0] for key in keys["search"]} <= set(schema["properties"])
    assert len(set(keys["training"])) == len(keys["training"]) > 100
