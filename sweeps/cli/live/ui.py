"""Command that shows sweeps in a browser."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from sweeps.cli.options import FINISHED, SWEEP_DIRECTORY, exits
from sweeps.cli.shell.parameter_types import RemoteDirectory
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import print_line

DEFAULT_PORT = 8050
LIBRARIES = ("dash", "dash_ag_grid", "flask", "flask_compress")
INSTALL = 'pip install "tune-sweeps[ui]"'


@click.command()
@click.argument("directories", nargs=-1, type=SWEEP_DIRECTORY, metavar="[DIR]...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@click.option("--open", "open_", is_flag=True, help="Open the page in your browser.")
@click.option("--read-only", is_flag=True, help="Only show; no request can be sent to a sweep.")
@exits
def ui(directories: tuple[Path, ...], host: str, port: int, open_: bool, read_only: bool) -> int:
    """Shows sweeps in a browser: live progress, trials, curves.

    DIR is a sweep's directory or one with sweeps below it, also an address in object storage;
    experiments/ by default. The page can stop, pause, resume, retry and add trials if it is opened
    by the printed address with its token. It needs no network.

    Example: sweep ui experiments --open
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise SweepError(f"`sweep ui` needs {', '.join(missing)}; install with: {INSTALL}")
    roots = [_resolve(directory) for directory in directories or (Path("experiments"),)]
    from sweeps.ui.server import UiServer, open_browser

    server = UiServer(roots, host, port, read_only=read_only)
    server.announce()
    page = open_browser(server.address_with_token) if open_ else None
    try:
        server.serve()
    except KeyboardInterrupt:
        print_line("stopped; the sweeps are not affected")
    finally:
        if page is not None:
            page.unlink(missing_ok=True)
    return FINISHED


def _resolve(directory: Path | RemoteDirectory) -> Path:
    """Returns the local directory, or the mirror, of an argument."""
    if isinstance(directory, RemoteDirectory):
        from sweeps.storage.location import resolve

        return resolve(directory)
    if not directory.is_dir():
        raise SweepError(f"{directory}: there is no such directory")
    return directory
