"""`python -m trainable config.yaml`: trains one model, without a sweep."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import torch

from trainable.artifacts.trial_log import replace_unencodable
from trainable.config import TrainConfig, halve_parts, parse_config
from trainable.config.own_code import add_code_directories
from trainable.config.yaml_reader import read_yaml
from trainable.errors import TuneSweepsError
from trainable.experiment.console import PlainConsole
from trainable.experiment.fit import Outcome, fit
from trainable.signals import StopRequest
from trainable.storage.experiment import local_file
from trainable.uri import expand_home, is_uri


@click.command(
    name="python -m trainable", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("config", type=click.Path())
@click.option(
    "--allow-custom-model",
    is_flag=True,
    help="Allow your own code (module:callable) as data set, model, loss or metric.",
)
def main(config: str, allow_custom_model: bool) -> None:
    """Trains one model with the settings in CONFIG and writes its experiment directory.

    Ctrl-C saves latest.pt after the running epoch and prints how to continue.
    """
    replace_unencodable()
    console = PlainConsole()
    try:
        config = expand_home(config)
        if allow_custom_model:
            add_code_directories([Path.cwd(), *_directory_of(config)])
        with local_file(config) as path:
            document = read_yaml(path)
        settings = parse_config(document)
        with StopRequest("stopping: this epoch is finished first; Ctrl-C again stops now") as stop:
            outcome = fit(
                settings,
                console=console,
                allow_custom_model=allow_custom_model,
                should_stop=stop,
                document=document,
            )
    except TuneSweepsError as error:
        _print_error(str(error))
        sys.exit(2)
    except torch.OutOfMemoryError as error:
        _print_error(f"{str(error).splitlines()[0]}\n{_suggest_less_memory(settings)}")
        sys.exit(1)
    _print_outcome(console, config, outcome)
    if outcome.diverged:
        sys.exit(1)
    if stop.signal is not None and not outcome.finished and outcome.stop is None:
        sys.exit(128 + stop.signal)


def _print_error(text: str) -> None:
    console = PlainConsole(stderr=True)
    console.print(text, style="red", highlight=False, soft_wrap=True)


def _suggest_less_memory(config: TrainConfig) -> str:
    batch_size = config.training.batch_size
    steps = halve_parts(batch_size, config.training.accumulation_steps)
    if steps is None:
        return f"batches of {batch_size} cannot be run in smaller parts; use a smaller model"
    return (
        f"set training.accumulation_steps to {steps} to run batches of {batch_size} in smaller "
        "parts, or lower training.batch_size"
    )


def _directory_of(config: str) -> list[Path]:
    return [] if is_uri(config) else [Path(config).parent]


def _print_outcome(console: PlainConsole, config: str, outcome: Outcome) -> None:
    has_ended = outcome.finished or outcome.stop is not None
    best = "best" if has_ended else "best so far"
    console.print(f"{best}: {outcome.best_text}")
    if outcome.location is None:
        console.print("checkpoint.enabled is false: no checkpoint was saved")
        return
    location = f"experiment: {outcome.location}"
    console.print(location, soft_wrap=True, highlight=False)
    if not has_ended and not outcome.diverged:
        console.print(
            f"stopped early; to continue, set checkpoint.resume to {outcome.latest} in "
            f"{shlex.quote(config)}",
            soft_wrap=True,
            highlight=False,
        )


if __name__ == "__main__":
    main()
