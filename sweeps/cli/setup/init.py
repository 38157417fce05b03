"""`sweep init`: writes a search file and a training config for a data set."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, FINISHED, PATH, SET, SIGINT_CODE, exits
from sweeps.cli.shell.parameter_types import ExampleName
from sweeps.terminal.console import console, print_error, print_line, print_note, print_table
from trainable.errors import ConfigError, Problem

PRESETS = ("quick", "good", "best")
DATA_QUESTION = "Data set (a folder of class folders, a .csv or .npz file, cifar10, digits, ...)"


@click.command()
@click.argument("directory", type=PATH, default=Path(), metavar="[DIR]")
@click.option(
    "--data",
    metavar="DATA",
    help="A folder of class folders, a table (.csv, .tsv, .parquet), arrays (.npz, .pt), "
    "module:callable, or cifar10, cifar100, digits, fashion_mnist, mnist.",
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="quick: some minutes; good: an hour; best: eight hours. The default is quick.",
)
@click.option(
    "--time",
    "budget",
    metavar="TIME",
    help="Time budget in the place of the preset's, e.g. 20m, 2h.",
)
@click.option(
    "--model",
    metavar="NAME",
    help="A built-in model such as resnet20, timm/NAME, torchvision/NAME or module:callable. By "
    "default one is chosen.",
)
@click.option(
    "--weights",
    metavar="FILE",
    help="Weights of --model, where they are not downloaded.",
)
@click.option("--name", help="Name of the sweep. By default that of the data and the preset.")
@click.option(
    "--probe",
    "probes",
    is_flag=True,
    help="Train a few batches on this machine to measure the time, instead of a rough estimate.",
)
@click.option(
    "--example",
    type=ExampleName(),
    metavar="NAME",
    help="Write this example in the place of files for your data; its name is one of --list.",
)
@click.option("--list", "lists", is_flag=True, help="List the examples and write nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@SET
@ALLOW_CUSTOM_MODEL
@exits
def init(directory: Path, **options: Any) -> int:
    """Writes a search file and a training config for a data set.

    Looks at the data and at this machine, chooses a model, a recipe, a search space and the number
    of trials, checks them, and writes search.yaml and training.yaml into DIR, by default the
    working directory. Every key has a comment that says why it has its value. Nothing is replaced.

    In a terminal it asks for what is not given.

    --example writes a search that ships with this project, with its training config and the
    schemas for an editor, or a file that starts a cluster.

    Example: sweep init --data photos --preset quick
    """
    name, lists = options.pop("example"), options.pop("lists")
    if lists:
        return _list_examples()
    if name is not None:
        return _write_example(name, directory, options)
    probes = options.pop("probes")
    try:
        if _may_ask(yes=options.pop("yes")):
            _ask(options)
    except click.Abort:
        print_error("nothing was written")
        return SIGINT_CODE
    if options["data"] is None:
        rule = "--data is required where nothing can be asked, e.g. --data photos"
        raise ConfigError("the command line", [Problem("", rule)])
    from sweeps.init.draft import describe_data, make_draft, run_command, write_draft
    from sweeps.init.machine import read_machine

    wishes = _read_wishes(directory, options)
    draft = make_draft(wishes, read_machine(), probes=probes)
    paths = write_draft(draft)
    for note in draft.notes:
        print_note(note)
    print_line(f"data: {describe_data(draft.given.facts)}")
    model = draft.spec.training.model
    start = "pretrained" if model.pretrained else "from scratch"
    print_line(f"model: {model.name}, {start}; {draft.size.describe()}")
    print_line(f"machine: {draft.given.machine.describe()}")
    print_line(f"expected time: {draft.expected}")
    print_line(f"wrote {' and '.join(str(path) for path in paths)}")
    print_line(f"run it: {run_command(wishes)}")
    return FINISHED


def _list_examples() -> int:
    from rich.table import Table

    from sweeps.init.examples import list_examples

    examples = list_examples()
    if not console.is_terminal:
        width = max(len(example.name) for example in examples)
        for example in examples:
            print_line(f"{example.name:<{width}}  {example.summary}")
        return FINISHED
    table = Table(box=None, show_header=False, padding=(0, 2, 1, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for example in examples:
        table.add_row(example.name, escape(example.summary))
    print_table(table)
    return FINISHED


def _write_example(name: str, directory: Path, options: dict[str, Any]) -> int:
    """Writes an example.

    Raises:
        TuneSweepsError: There is none of this name, a file exists, or an option is for own data.
    """
    from sweeps.init.examples import find_example, write_example
    from sweeps.terminal.commands import sweep_command

    example = find_example(name)
    if any(value for key, value in options.items() if key != "yes"):
        rule = "is written as it ships; give no other option with it, and change its files"
        raise ConfigError("the command line", [Problem("--example", rule)])
    paths = write_example(example, directory)
    print_line(f"wrote {' and '.join(str(path) for path in paths)}")
    if example.is_search:
        print_line(f"run it: {sweep_command('run', paths[-1])}")
    return FINISHED


def _may_ask(*, yes: bool) -> bool:
    """Returns whether there is a person at a terminal who may be asked."""
    return not yes and sys.stdin.isatty() and sys.stdout.isatty()


def _ask(options: dict[str, Any]) -> None:
    """Asks for the data and the preset, if they are not given."""
    if options["data"] is None:
        options["data"] = click.prompt(DATA_QUESTION)
        if options["preset"] is None:
            choice = click.Choice(PRESETS)
            options["preset"] = click.prompt("Preset", type=choice, default=PRESETS[0])


def _read_wishes(directory: Path, options: dict[str, Any]) -> Any:
    from sweeps.init.backbones import PresetName
    from sweeps.init.draft import Wishes
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig

    preset: PresetName = options["preset"] or "quick"
    return Wishes(
        data=options["data"],
        directory=directory,
        preset=preset,
        model=options["model"],
        weights=options["weights"],
        budget_s=_read_budget(options["budget"]),
        name=options["name"],
        changes=parse_assignments(options["assignments"], TrainConfig),
        allow_custom_model=options["allow_custom_model"],
        command=_quote_command(directory, options),
    )


def _read_budget(text: str | None) -> float | None:
    """Returns the seconds of `--time`.

    Raises:
        ConfigError: It is no time.
    """
    if text is None:
        return None
    from sweeps.spec.settings import Tune
    from trainable.config.schema import validate
    from trainable.config.yaml_reader import Document, parse_value

    values = {"num_samples": 1, "time_budget": parse_value(text, "--time")}
    try:
        return validate(Tune, Document(values, {}, "--time")).time_budget
    except ConfigError as error:
        rule = error.problems[0].rule
        raise ConfigError("the command line", [Problem("--time", rule)]) from error


def _quote_command(directory: Path, options: dict[str, Any]) -> str:
    """Returns the command line that gives the same files, for their first lines."""
    words = ["sweep", "init", *([] if directory == Path() else [str(directory)])]
    names = {"data": "data", "preset": "preset", "budget": "time", "model": "model"}
    for key, name in {**names, "weights": "weights", "name": "name"}.items():
        if options[key] is not None:
            words += [f"--{name}", options[key]]
    for assignment in options["assignments"]:
        words += ["--set", assignment]
    words += ["--allow-custom-model"] if options["allow_custom_model"] else []
    return shlex.join(words)
