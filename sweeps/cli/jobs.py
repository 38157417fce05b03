"""Verbs that send a sweep to a cluster as a job: submit; and jobs status, logs, stop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, FINISHED, SET_IN_SEARCH, exits
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import console, print_line

if TYPE_CHECKING:
    from sweeps.spec.search_spec import SearchSpec

JOB_SERVER = click.option(
    "--address",
    required=True,
    metavar="URL",
    help="The cluster's job server: http://HEAD:8265.",
)
JOB = click.argument("job")


@click.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@JOB_SERVER
@SET_IN_SEARCH
@ALLOW_CUSTOM_MODEL
@exits
def submit(
    search_file: Path, address: str, assignments: tuple[str, ...], allow_custom_model: bool
) -> int:
    """Sends the sweep that SEARCH_FILE describes to a Ray cluster, with its code.

    Sent once more, a paused or killed sweep goes on. Its checkpoint.dir is one that all nodes
    share; with --allow-custom-model the code of the working directory goes along.

    Example: sweep submit search.yaml --address http://head:8265
    """
    from sweeps.cluster.code_package import add_user_code, project_code
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.storage.location import join_location
    from trainable.config.yaml_reader import dump_yaml

    values = parse_assignments(assignments)
    spec = load_search(search_file, values)
    raw = _raw(search_file, values)
    _refuse_relative(raw["config"])
    name = spec.sweep_name or _new_name(spec)
    text = dump_yaml(_to_send(spec, name, raw))
    package = project_code()
    if allow_custom_model:
        package = add_user_code(package, Path.cwd())
    from sweeps.cluster import jobs

    client = jobs.connect(address)
    options = ["--allow-custom-model"] * allow_custom_model
    job = jobs.submit(client, text, package, options)
    print_line(f"job {job}: sweep {name}, in {join_location(spec.training.checkpoint.dir, name)}")
    for what, verb in (("how far it is", "status"), ("its output", "logs"), ("pause it", "stop")):
        print_line(f"  {what + ':':15}sweep jobs {verb} {job} --address {address}")
    again = "" if spec.sweep_name is not None else f" --set name={name}"
    print_line(f"  to go on after a pause, the same command again{again}")
    return FINISHED


@click.group()
def jobs() -> None:
    """Asks after the sweeps that were sent to a cluster, and pauses them.

    Example: sweep jobs status raysubmit_8fFmXUNMbHAEuBTg --address http://head:8265
    """


@jobs.command()
@JOB
@JOB_SERVER
@exits
def status(job: str, address: str) -> int:
    """Says what JOB is doing, or what it came to."""
    from sweeps.cluster import jobs

    print_line(f"job {job}: {jobs.describe(jobs.connect(address), job)}")
    return FINISHED


@jobs.command()
@JOB
@JOB_SERVER
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends.")
@exits
def logs(job: str, address: str, follow: bool) -> int:
    """Prints what JOB has printed."""
    from sweeps.cluster import jobs

    for text in jobs.output(jobs.connect(address), job, follow=follow):
        console.out(text, end="", highlight=False)
    return FINISHED


@jobs.command()
@JOB
@JOB_SERVER
@exits
def stop(job: str, address: str) -> int:
    """Pauses JOB: its running trials finish their epoch and save."""
    from sweeps.cluster import jobs

    if jobs.stop(jobs.connect(address), job):
        print_line(f"asked job {job} to pause: its running trials finish their epoch and save")
    else:
        print_line(f"job {job} was not running")
    return FINISHED


def _raw(search_file: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """A good search file as it is written, its training config in it, with what is set."""
    from sweeps.spec.overrides import select_config_keys, set_search_keys
    from trainable.config.override import override
    from trainable.config.yaml_reader import read_yaml

    document, _ = set_search_keys(read_yaml(search_file), values)
    config = document.data["config"]
    if isinstance(config, str):
        config = read_yaml(search_file.parent / Path(config).expanduser()).data
    return {**document.data, "config": override(config, select_config_keys(values))}


def _refuse_relative(config: Mapping[str, Any]) -> None:
    """A relative path would lie in the job's own directory, which goes away with it."""
    from trainable.config import parse_config
    from trainable.uri import is_uri

    found = parse_config(config)
    paths = {"checkpoint.dir": found.checkpoint.dir}
    if found.dataset.name not in {"digits", "synthetic"}:
        paths["dataset.root"] = found.dataset.root
    for key, path in paths.items():
        if not is_uri(path) and not Path(path).expanduser().is_absolute():
            raise SweepError(
                f"{key} {path} is relative, and a job runs in a directory that goes away with it: "
                f"give a path on the cluster, --set config.{key}=/..."
            )


def _to_send(spec: SearchSpec, name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    data = {**spec.to_dict(), "name": name}
    if (raw.get("tune") or {}).get("seed") is None:
        del data["tune"]["seed"]  # drawn once, where the sweep starts
    return data


def _new_name(spec: SearchSpec) -> str:
    from datetime import datetime

    from trainable.artifacts.names import automatic_name

    return automatic_name(spec.training, datetime.now())
