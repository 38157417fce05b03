"""Copies the examples that ship with the project: `sweep init --example NAME`.

They are the files of `configs/` in a clone, which a wheel contains as `sweeps/examples/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sweeps.init.new_files import SEARCH, TRAINING, refuse_existing
from sweeps.terminal.commands import sweep_command, train_command
from trainable.atomic_files import write_text
from trainable.config.names import suggestion
from trainable.config.yaml_reader import parse_yaml
from trainable.errors import ConfigError, Problem

SCHEMAS = ("search.schema.json", "training.schema.json")
"""Schemas by which an editor checks the copies."""

_SCHEMA = re.compile(r"(?<=\$schema=)(?:\.\./)*")
_CONFIG = re.compile(r"^config: (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A search with its training config, or one file that starts a cluster."""

    name: str
    text: str
    file_name: str
    """The name of the copy."""
    summary: str
    """Its purpose, needs and results, from the comment at its head."""

    @property
    def is_search(self) -> bool:
        """True for a search, false for a file for a cluster."""
        return self.file_name == SEARCH


def find_directory() -> Traversable:
    """Returns the directory of the examples: in the package, or `configs/` of the clone."""
    packaged = files("sweeps") / "examples"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "configs"


def list_examples() -> list[Example]:
    """Lists the examples, searches first."""
    directory = find_directory()
    first = (directory / SEARCH).read_text(encoding="utf-8")
    name = parse_yaml(first, SEARCH).data["name"]
    searches = [Example(name, first, SEARCH, _summarize(first, skipped=2))]
    for file in _list_files(directory / "searches"):
        text = file.read_text(encoding="utf-8")
        searches.append(Example(_stem(file), text, SEARCH, _summarize(text, skipped=2)))
    clusters = []
    for file in _list_files(directory / "cluster"):
        text = file.read_text(encoding="utf-8")
        summary = _summarize(text, skipped=1 if text.startswith("#!") else 0)
        clusters.append(Example(_stem(file), text, file.name, summary))
    return searches + clusters


def find_example(name: str) -> Example:
    """Returns an example by its name.

    Raises:
        ConfigError: There is none; the message names the nearest.
    """
    examples = {example.name: example for example in list_examples()}
    if name not in examples:
        rule = f'unknown example, found "{name}"{suggestion(name, examples)}'
        raise ConfigError("the command line", [Problem("--example", rule)])
    return examples[name]


def write_example(example: Example, directory: Path) -> list[Path]:
    """Copies an example into a directory, so that the first line of each file works from here.

    A search is written as search.yaml, with its training config as training.yaml and the schemas
    for an editor, which replace those of an earlier version.

    Returns:
        The paths of the files to read, in the order to read them.

    Raises:
        TuneSweepsError: A file exists.
    """
    texts = _search_texts(example, directory) if example.is_search else _text(example, directory)
    refuse_existing(directory, texts, ["--example", example.name])
    directory.mkdir(parents=True, exist_ok=True)
    if example.is_search:
        for name in SCHEMAS:
            write_text(directory / name, (find_directory() / name).read_text(encoding="utf-8"))
    for name, text in texts.items():
        write_text(directory / name, text)
    return [directory / name for name in texts]


def _search_texts(example: Example, directory: Path) -> dict[str, str]:
    """Returns file name -> text of a search and its training config, with the paths of here."""
    config = _CONFIG.search(example.text)
    assert config is not None, "a search that ships names its training config"
    training = (find_directory() / Path(config[1]).name).read_text(encoding="utf-8")
    search = _CONFIG.sub(f"config: {TRAINING}", example.text)
    return {
        TRAINING: _adapt(training, train_command(directory / TRAINING)),
        SEARCH: _adapt(search, sweep_command("run", directory / SEARCH)),
    }


def _adapt(text: str, command: str) -> str:
    """Replaces the command in the first line and the path of the schema in the second."""
    _, _, rest = text.partition("\n")
    return f"# {command}\n{_SCHEMA.sub('', rest, count=1)}"


def _text(example: Example, directory: Path) -> dict[str, str]:
    place = "" if directory == Path() else f"{directory.as_posix()}/"
    return {example.file_name: example.text.replace("configs/cluster/", place)}


def _list_files(directory: Traversable) -> Iterator[Traversable]:
    yield from sorted(
        (file for file in directory.iterdir() if file.is_file()), key=lambda file: file.name
    )


def _stem(file: Traversable) -> str:
    return file.name.partition(".")[0]


def _summarize(text: str, *, skipped: int) -> str:
    """Returns the paragraph of comments at the beginning of a file.

    Args:
        text: The text of the file.
        skipped: Number of lines before the paragraph.
    """
    words: list[str] = []
    for line in text.splitlines()[skipped:]:
        if not line.startswith("# "):
            break
        words += line.removeprefix("#").split()
    return " ".join(words)
