"""README.md agrees with the project: commands, files, names on disk, search file, snippet."""

import ast
import re
import shlex
from pathlib import Path

from sweeps.cli.main import main
from sweeps.spec.load import parse_search
from sweeps.sweep_dir import layout
from trainable.artifacts.names import (
    BEST_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    LATEST_FILE,
    LOG_FILE,
    METRICS_FILE,
    TENSORBOARD,
    epoch_file,
)
from trainable.config import load_config
from trainable.config.yaml_reader import parse_yaml

ROOT = Path(__file__).parents[2]
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
    assert len(README.splitlines()) < 200


def test_set_up_is_two_commands() -> None:
    first, second, *_ = blocks("sh")
    assert first == 'pip install -e ".[dev]" && python sweeps/run.py configs/search.yaml\n'
    assert second == "pytest\n"


def test_every_verb_of_the_command_is_shown_and_exists() -> None:
    shown = {words[1] for words in commands() if words[0] == "sweep"}
    shown |= set(re.findall(r"`sweep ([\w-]+)", README))
    assert shown == set(main.commands)


def test_files_named_in_shown_commands_exist() -> None:
    paths = [word for words in commands() for word in words if word.endswith((".py", ".yaml"))]
    assert len(paths) >= 3
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_pictures_are_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+\.png)\)", README)
    assert len(pictures) == 2
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
    assert f"sweep {search.data['name']}: {trials} trials" in README
    assert f"Of {trials} trials" in README
    assert f"instead of {trials * epochs}" in README
    for epoch in range(config.checkpoint.save_frequency, epochs + 1, 4):
        assert epoch_file(epoch) in README


def test_the_loading_snippet_is_the_tested_one() -> None:
    test = ROOT / "tests" / "docs" / "test_loading_snippet.py"
    constants = {
        node.targets[0].id: node.value
        for node in ast.parse(test.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert blocks("python") == [ast.literal_eval(constants["SNIPPET"])]


def test_the_tree_of_a_sweep_has_the_names_on_disk() -> None:
    (tree,) = [block for block in blocks("text") if block.startswith("experiments/")]
    shown = re.findall(r"── ([\w./]+)", tree)
    sweep_files = [layout.SEARCH_FILE, layout.SWEEP_FILE, layout.TRIALS_CSV]
    sweep_files += [layout.BEST_CONFIG, layout.EVENTS_FILE]
    trial_files = [CONFIG_FILE, layout.TRIAL_FILE, METRICS_FILE, LOG_FILE]
    trial_files += [f"{CHECKPOINTS}/", f"{TENSORBOARD}/"]
    assert [name for name in shown if not name.startswith("resnet20")] == sweep_files + trial_files
    assert LATEST_FILE in tree
    assert BEST_FILE in tree


def test_the_reading_order_names_existing_files() -> None:
    order = re.search(r"Read the code in this order: (.*?)\n\n", README, re.DOTALL)
    assert order is not None
    files = re.findall(r"`([^`]+)`", order[1])
    assert len(files) >= 5
    assert not [name for name in files if not (ROOT / name).exists()]
