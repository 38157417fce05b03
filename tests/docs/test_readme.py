"""README.md agrees with the project: commands, files, names on disk, search file, snippet."""

import re
import shlex
from pathlib import Path

from sweeps.cli.main import main
from sweeps.spec.load import parse_search
from trainable.config import load_config
from trainable.config.yaml_reader import parse_yaml

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Lists the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Lists the commands of the sh blocks as words, split at `&&` and without comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    parts = [part for line in lines for part in line.split("&&")]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_set_up_is_two_commands() -> None:
    first, second, *_ = blocks("sh")
    assert first == 'pip install -e ".[dev]" && python sweeps/run.py configs/search.yaml\n'
    assert second == "pytest\n"


def test_the_verbs_that_a_sweep_needs_are_shown_and_exist() -> None:
    shown = {words[1] for words in commands() if words[0] == "sweep"}
    shown |= set(re.findall(r"`sweep ([\w-]+)", README))
    assert shown <= set(main.commands)
    assert shown >= {
        "init",
        "plan",
        "run",
        "pause",
        "resume",
        "extend",
        "retry",
        "restore",
        "report",
    }


def test_files_named_in_shown_commands_exist() -> None:
    paths = [word for words in commands() for word in words if word.endswith((".py", ".yaml"))]
    assert len(paths) >= 3
    written = {"search.yaml"}  # by `sweep init`
    assert not [path for path in paths if path not in written and not (ROOT / path).exists()]


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_pictures_are_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+\.(?:png|svg))\)", README)
    assert pictures
    assert [path for path in pictures if (ROOT / path).stat().st_size > 150_000] == []


def test_the_shown_search_file_is_valid_and_short() -> None:
    (shown,) = blocks("yaml")
    assert len(shown.splitlines()) <= 25
    spec = parse_search(parse_yaml(shown, "README.md"), directory=ROOT / "configs")
    assert spec.tune.num_samples == 16
    assert spec.space["optimizer.momentum"].when


def test_the_shown_sweep_is_the_one_of_the_shown_command() -> None:
    search = parse_yaml((ROOT / "configs" / "search.yaml").read_text(encoding="utf-8"), "search")
    config = load_config(ROOT / "configs" / "resnet20_digits.yaml")
    trials, epochs = search.data["tune"]["num_samples"], config.training.epochs
    quick_start = (ROOT / "docs" / "start" / "quick_start.md").read_text(encoding="utf-8")
    assert f"sweep {search.data['name']}: {trials} trials" in quick_start
    assert f"Of {trials} trials" in README
    assert f"instead of {trials * epochs}" in README


def test_the_reading_order_names_existing_files() -> None:
    order = re.search(r"Read the code in this order: (.*?)\n\n", CONTRIBUTING, re.DOTALL)
    assert order is not None
    files = re.findall(r"`([^`]+)`", order[1])
    assert len(files) >= 5
    assert not [name for name in files if not (ROOT / name).exists()]
