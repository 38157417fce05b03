"""The command line: help, exit codes, and bad input, which leaves no files. Starts no Ray."""

import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import sweeps
from sweeps.cli.main import main
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.config.yaml_reader import dump_yaml

ROOT = Path(__file__).parents[4]
COMMANDS = sorted(main.commands)
GOOD: dict[str, dict[str, Any]] = {
    "config": {
        "dataset": {"name": "digits", "val_split": 0.2},
        "model": {"name": "resnet20"},
        "training": {"epochs": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "checkpoint": {"enabled": True},
    },
    "space": {"optimizer.learning_rate": {"loguniform": [1e-3, 1.0]}},
    "tune": {"num_samples": 3},
}


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [*map(str, args)], prog_name="sweep")


def refused(*args: object) -> str:
    """Returns the error about bad input, which leaves no file and exits with code 2."""
    before = set(Path.cwd().rglob("*"))
    result = invoke(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert set(Path.cwd().rglob("*")) == before
    return result.stderr


def write_search(name: str = "", **sections: Mapping[str, Any]) -> Path:
    data = {key: {**GOOD.get(key, {}), **sections.get(key, {})} for key in GOOD | sections}
    Path("search.yaml").write_text(dump_yaml({"name": name, **data}))
    return Path("search.yaml")


@pytest.fixture
def finished(working_directory: Path) -> Path:
    """Writes a finished sweep of four trials to `experiments/digits`."""
    return FakeSweep(Path("experiments", "digits"), trials=4, space=ONE_KEY, tune={}).write()


# ---------------------------------------------------------------------------- help


def test_help_describes_every_command_in_one_line() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        line = re.search(rf"^  {command} +[A-Z]\w+s .*\.$", result.stdout, re.MULTILINE)
        assert line, command
        assert "..." not in line[0], command
    assert invoke("-h").stdout == result.stdout


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_of_every_command_has_a_valid_example(verb: str) -> None:
    result = invoke(verb, "--help")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    example = re.search(
        rf"Example: (sweep {verb} [^\n]*?)(?= Options:| Argument| Positional)", text
    )
    assert example, text
    command = main.commands[verb]
    parent = click.Context(main, **main.context_settings)
    context = click.Context(command, info_name=verb, parent=parent)
    command.parse_args(context, shlex.split(example[1])[2:])  # fails if an option does not exist
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.name}"


def test_the_versions_are_one_line() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(
        rf"tune-sweeps {re.escape(sweeps.__version__)}, "
        rf"Python {platform.python_version()}, torch [0-9.]+\S*, ray 2\.\d+\.\d+\n",
        result.stdout,
    )
    assert sweeps.__version__ == version("tune-sweeps")


# ---------------------------------------------------------------------------- search files


def test_a_valid_search_file_is_accepted_and_leaves_no_files(working_directory: Path) -> None:
    path = write_search()
    result = invoke("validate", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "search.yaml: valid; 3 trials over 1 key"
    assert list(working_directory.iterdir()) == [working_directory / "search.yaml"]


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_all_problems_are_listed_together(verb: str, working_directory: Path) -> None:
    bad_space = {"optimizer.lerning_rate": {"loguniform": [0, 1.0]}}
    path = write_search(
        tune={"num_samples": 0, "metrik": "val_acc"}, space=bad_space, resources={"gpu": -1}
    )
    text = refused(verb, path)
    head, *lines = text.splitlines()
    assert re.fullmatch(r"search\.yaml: \d problems", head)
    assert len(lines) == int(head.split()[1])
    for key in ("tune.num_samples", "tune.metrik", "space.optimizer", "resources.gpu"):
        assert any(re.match(rf"  line \d+: {key}", line) for line in lines), key
    assert 'did you mean "metric"?' in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "search.yaml: 1 problem\n  no such file"),
        (b"", "must be a mapping of keys, found nothing"),
        (b"tune: [", "is not YAML"),
        (b"\x80\x02}q\x00.", "must be UTF-8 text"),
    ],
    ids=["missing", "empty", "syntax", "binary"],
)
@pytest.mark.parametrize("verb", ["run", "validate"])
def test_a_file_that_is_not_a_search_file_is_refused(
    verb: str, content: bytes | None, message: str, working_directory: Path
) -> None:
    if content is not None:
        Path("search.yaml").write_bytes(content)
    assert message in refused(verb, "search.yaml")


@pytest.mark.parametrize("state", ["running", "paused", "finished"])
def test_a_name_that_is_taken_is_refused_with_the_resume_command(
    state: Any, working_directory: Path
) -> None:
    directory = FakeSweep(working_directory / "experiments" / "digits", state=state).write()
    text = refused("run", write_search(name="digits"))
    assert text.startswith(f"{directory} holds a sweep that is {state}\n")
    assert "sweep resume experiments/digits\n" in text
    assert "give it another name in the search file" in text


def test_a_directory_without_a_sweep_is_not_overwritten(working_directory: Path) -> None:
    Path("experiments", "digits").mkdir(parents=True)
    Path("experiments", "digits", "thesis.tex").write_text("years of work")
    text = refused("run", write_search(name="digits"))
    assert "is taken by something other than a sweep; choose another name" in text


# ---------------------------------------------------------------------------- directories


@pytest.mark.parametrize(
    "args",
    [
        ["pause"],
        ["resume"],
        ["retry"],
        ["extend", "--top", "1", "--epochs", "9"],
        ["run", "--resume"],
    ],
    ids=lambda args: " ".join(args),
)
@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_a_directory_that_is_not_a_sweep_is_refused(
    exists: bool, args: list[str], working_directory: Path
) -> None:
    if exists:
        Path("folder").mkdir()
    text = refused(*args, "folder")
    path = working_directory / "folder" / "sweep.json"
    assert text.startswith(f"{path}: there is no such file; is this a sweep's directory?")


@pytest.mark.parametrize("verb", ["restore", "eval"])
def test_a_missing_checkpoint_is_refused(verb: str, working_directory: Path) -> None:
    expected = "best.pt: there is no such file; good checkpoints beside it: none\n"
    assert refused(verb, "best.pt") == expected


@pytest.mark.parametrize("args", [["run"], ["run", "--resume"], ["resume"], ["restore"]])
def test_a_command_without_its_argument_is_refused(
    args: list[str], working_directory: Path
) -> None:
    assert re.search("--resume|Missing argument", refused(*args))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-samples", "0"], "tune.num_samples"),
        (["--time-budget", "soon"], "tune.time_budget: must be seconds or a text such as"),
        (["--cpu", "-1"], "resources.cpu"),
    ],
)
def test_a_bad_change_on_resume_is_refused(
    options: list[str], message: str, finished: Path
) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    result = invoke("resume", finished, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("the command line: 1 problem\n")
    assert message in result.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_an_edited_file_that_changes_the_trials_is_refused_with_a_diff(finished: Path) -> None:
    text = (finished / "search.yaml").read_text()
    Path("edited.yaml").write_text(text.replace("epochs: 9", "epochs: 8"))
    result = invoke("run", "--resume", finished, "edited.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "  config.training.epochs: 9 -> 8\n" in result.stderr
    assert "tune.warm_start" in result.stderr


def test_without_failed_trials_there_is_nothing_to_retry(finished: Path) -> None:
    result = invoke("retry", finished)
    assert (result.exit_code, result.stdout) == (0, f"no trial of {finished} has failed\n")
    result = invoke("retry", finished, "--cause", "ooom")
    assert result.exit_code == 2
    assert 'did you mean "oom"?' in result.stderr


@pytest.mark.parametrize("state", ["finished", "running"])
def test_a_sweep_with_nothing_left_to_do_ends_without_ray(
    state: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`running` is left by a kill between the end of the last trial and that of the sweep."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # a start would be refused
    layout = SweepLayout(finished)
    record = layout.read_sweep()
    record.state = state  # type: ignore[assignment]
    layout.write_sweep(record)
    result = invoke("resume", finished)
    assert result.exit_code == 0, result.stderr
    assert f"all 4 trials of {finished} have ended" in result.stdout
    assert "--num-samples 8" in result.stdout
    assert "best: trial " in result.stdout
    assert layout.read_sweep().state == "finished"
    assert sum(layout.read_sweep().trials.values()) == 4
    assert (finished / "trials.csv").exists()


# ---------------------------------------------------------------------------- stop


def test_stopping_a_sweep_that_is_not_running_writes_no_request(finished: Path) -> None:
    result = invoke("pause", finished)
    assert result.stdout == f"{finished} is not running; it is finished\n"
    assert result.exit_code == 0
    assert not SweepLayout(finished).stop_file.exists()


def test_stopping_a_running_sweep_writes_a_request_and_prints_the_resume_command(
    finished: Path,
) -> None:
    with sweep_lock(finished):
        result = invoke("pause", finished)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"resume it later with: sweep resume {finished}"
    assert SweepLayout(finished).stop_file.exists()


@pytest.mark.parametrize("verb", ["resume", "retry"])
def test_a_running_sweep_is_not_run_twice(verb: str, finished: Path) -> None:
    with sweep_lock(finished):
        result = invoke(verb, finished)
    assert result.exit_code == 2
    assert "is being run by " in result.stderr
    assert f"to pause it: sweep pause {finished}" in result.stderr


# ---------------------------------------------------------------------------- as a process


@pytest.mark.parametrize(
    "script",
    # tests/integration/test_from_checkpoint.py runs restore.py from another directory.
    ["run.py", pytest.param("restore.py", marks=pytest.mark.slow)],
)
def test_the_scripts_run_from_any_directory_with_the_commands_exit_code(
    script: str, working_directory: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "sweeps" / script), "nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(working_directory.iterdir()) == []
