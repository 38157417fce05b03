"""What verbs share: exit codes, arguments and options, and how an error becomes a message."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec

import click

from sweeps.terminal import console as terminal
from sweeps.terminal.console import print_error
from trainable.errors import TuneSweepsError
from trainable.uri import is_uri

FINISHED, SOME_FAILED, BAD_INPUT = 0, 1, 2
BY_SIGINT, BY_SIGTERM = 130, 143

P = ParamSpec("P")


class Place(click.Path):
    """A path, or the address of a directory in object storage.

    A verb gets a local path in both cases: `exits` makes a desk of an address.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leaves an address as it is."""
        if isinstance(value, str) and is_uri(value):
            return Address(value)
        return super().convert(value, param, ctx)


class Address(str):
    """Of a directory in object storage."""

    __slots__ = ()


PLACE = Place()
PLACE_AS_GIVEN = click.Path()
"""For verbs that know addresses themselves."""
DIRECTORY = click.argument("directory", type=PLACE)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
ALLOW_CUSTOM_MODEL = click.option(
    "--allow-custom-model",
    is_flag=True,
    help="Let model.name import a callable of yours (module:callable).",
)
ADDRESS = click.option(
    "--address",
    metavar="auto|HOST:PORT",
    help="Run the trials on this Ray cluster; RAY_ADDRESS is the default, else this machine.",
)
VERBOSE = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=lambda *given: terminal.enable_ray_output(given[-1]),
    help="Show Ray's own messages, too.",
)
SET = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the training config, e.g. optimizer.learning_rate=0.01.",
)
SET_IN_SEARCH = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the search file, e.g. tune.num_samples=4, or with config. before it one "
    "of the training config: config.training.epochs=2.",
)


def _desks(given: Mapping[str, Any]) -> dict[str, Path]:
    """The local directories of the addresses among a verb's arguments."""
    addresses = {name: value for name, value in given.items() if isinstance(value, Address)}
    if not addresses:
        return {}
    from sweeps.storage.location import resolve

    return {name: resolve(value) for name, value in addresses.items()}


def exits(verb: Callable[P, int]) -> Callable[P, None]:
    """Makes a verb's return value the exit code, and a user's error one message and code 2.

    A signal that comes before a sweep has begun, or when it is over, ends the process with the
    signal's code; in between it asks for a pause.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            kwargs.update(_desks(kwargs))
            code = verb(*args, **kwargs)
        except TuneSweepsError as error:
            print_error(str(error))
            code = BAD_INPUT
        except KeyboardInterrupt:
            print_error("interrupted by SIGINT; no trial was running")
            code = BY_SIGINT
        except SystemExit:  # what Ray makes of SIGTERM, with a code of its own
            print_error("interrupted by SIGTERM; no trial was running")
            code = BY_SIGTERM
        sys.exit(code)

    return run
