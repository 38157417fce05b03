"""Commands that run a sweep as a job on a cluster: submit; jobs status, logs and pause."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, FINISHED, SEARCH_FILE, SET_IN_SEARCH, exits
from sweeps.cli.setup.verbs import VerbGroup
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.console import console, print_line
from sweeps.terminal.formatting import format_time, make_table
from sweeps.terminal.tables import ShortenedText

JOB_SERVER = click.option(
    "--address",
    required=True,
    metavar="URL",
    help="The job server of the cluster: http://HEAD:8265.",
)
JOB = click.argument("job")


@click.command()
@SEARCH_FILE
@JOB_SERVER
@SET_IN_SEARCH
@ALLOW_CUSTOM_MODEL
@exits
def submit(
    search_file: Path, address: str, assignments: tuple[str, ...], allow_custom_model: bool
) -> int:
    """Runs a sweep as a job on a Ray cluster.

    Sends SEARCH_FILE and this project's code to the cluster; --allow-custom-model also sends the
    code in the working directory. checkpoint.dir must be shared by all nodes. Repeating the
    command resumes a paused or killed sweep.

    Example: sweep submit search.yaml --address http://head:8265
    """
    from sweeps.cluster.code_package import add_modules, add_user_code, project_code
    from sweeps.preflight.checks import check_settings
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec
    from sweeps.storage.location import join_location
    from trainable.artifacts.names import automatic_name
    from trainable.config.own_code import add_code_directories
    from trainable.config.yaml_reader import dump_yaml
    from trainable.preflight.background import Options

    values = parse_assignments(assignments, SearchSpec)
    spec = load_search(search_file, values)
    raw = _read_unresolved(search_file, values)
    _check_paths(raw["config"])
    name = spec.sweep_name or automatic_name(spec.training, datetime.now())
    text = dump_yaml(_sent_search(spec.to_dict(), name, raw))
    package = project_code()
    if allow_custom_model:
        add_code_directories([Path.cwd(), spec.origin.directory])
        package = add_user_code(package, Path.cwd())
        package = add_modules(package, spec.origin.directory)
    check_settings(spec, Options(allow_custom_model))
    from sweeps.cluster import jobs

    client = jobs.connect(address)
    options = ["--allow-custom-model"] * allow_custom_model
    saves = str(spec.training.checkpoint.enabled).lower()
    metadata = {jobs.NAME: name, jobs.SAVES: saves}
    job = jobs.submit(client, text, package, options, metadata)
    print_line(f"job {job}: sweep {name}, in {join_location(spec.training.checkpoint.dir, name)}")
    for action, verb in (("status", "status"), ("output", "logs"), ("pause it", "pause")):
        command = sweep_command("jobs", verb, job, "--address", address)
        print_line(f"  {action + ':':11}{command}")
    addition = "" if spec.sweep_name is not None else f" with --set name={name}"
    print_line(f"  resume it: repeat this command{addition}")
    return FINISHED


@click.group(cls=VerbGroup, aliases={"stop": "pause"}, invoke_without_command=True)
@click.option("--address", metavar="URL", help="The job server of the cluster: http://HEAD:8265.")
@click.pass_context
def jobs(context: click.Context, address: str | None) -> None:
    """Shows and pauses sweeps on a cluster.

    Without a command, the jobs are listed. `sweep submit` prints the id of the job.

    Example: sweep jobs --address http://head:8265
    """
    if context.invoked_subcommand is not None:
        if address is not None:
            raise click.UsageError(f"--address belongs behind {context.invoked_subcommand}")
        return
    if address is None:
        raise click.UsageError("Missing option '--address': http://HEAD:8265")
    exits(_list_jobs)(address)


def _list_jobs(address: str) -> int:
    from sweeps.cluster import jobs

    listed = jobs.list_jobs(jobs.connect(address))
    if not listed:
        print_line(f"no jobs at {address}")
        return FINISHED
    table = make_table("job", "sweep", "started", "state", shortened={"sweep", "state"})
    for job in listed:
        started = "-" if job.started is None else format_time(job.started)
        sweep, state = ShortenedText(job.sweep or "-"), ShortenedText(job.state)
        table.add_row(escape(job.id), sweep, started, state)
    console.print(table)
    return FINISHED


@jobs.command()
@click.argument("job", required=False)
@JOB_SERVER
@exits
def status(job: str | None, address: str) -> int:
    """Shows the status of JOB; lists all jobs without one.

    Example: sweep jobs status raysubmit_1b45 --address http://head:8265
    """
    from sweeps.cluster import jobs

    if job is None:
        return _list_jobs(address)
    print_line(f"job {job}: {jobs.read_job(jobs.connect(address), job).state}")
    return FINISHED


@jobs.command()
@JOB
@JOB_SERVER
@click.option("-f", "--follow", is_flag=True, help="Print new output until the job ends.")
@exits
def logs(job: str, address: str, follow: bool) -> int:
    """Prints the output of JOB.

    Example: sweep jobs logs raysubmit_1b45 --follow --address http://head:8265
    """
    from sweeps.cluster import jobs

    for text in jobs.output(jobs.connect(address), job, follow=follow):
        console.out(text, end="", highlight=False)
    return FINISHED


@jobs.command()
@JOB
@JOB_SERVER
@exits
def pause(job: str, address: str) -> int:
    """Pauses JOB.

    Its running trials finish their epoch and save a checkpoint, if checkpoint.enabled is true.
    `sweep jobs stop` is another name of this command.

    Example: sweep jobs pause raysubmit_1b45 --address http://head:8265
    """
    from sweeps.cluster import jobs

    client = jobs.connect(address)
    info = jobs.read_job(client, job)
    if not jobs.stop(client, job):
        print_line(f"job {job} was not running")
    elif info.sweep is None:
        print_line(f"stopping job {job}, which `sweep submit` has not sent: {info.command}")
    elif info.saves:
        print_line(f"pausing job {job}: running trials finish their epoch and save a checkpoint")
    else:
        print_line(
            f"pausing job {job}: running trials finish their epoch; with checkpoint.enabled: "
            "false they begin again when the sweep is resumed"
        )
    return FINISHED


def _read_unresolved(search_file: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a valid search file as written, with its training config and the set values."""
    from sweeps.spec.overrides import select_config_keys, set_search_keys
    from trainable.config.override import override
    from trainable.config.yaml_reader import read_yaml
    from trainable.uri import expand_home

    document, _ = set_search_keys(read_yaml(search_file), values)
    config = document.data["config"]
    if isinstance(config, str):
        config = read_yaml(search_file.parent / expand_home(config)).data
    return {**document.data, "config": override(config, select_config_keys(values))}


def _check_paths(config: Mapping[str, Any]) -> None:
    """Refuses relative paths: the job's working directory is deleted when the job ends."""
    from trainable.config import OwnDataset, SyntheticDataset, parse_config
    from trainable.uri import is_uri

    training = parse_config(config)
    paths = {"checkpoint.dir": training.checkpoint.dir}
    dataset = training.dataset
    if dataset.name != "digits" and not isinstance(dataset, OwnDataset | SyntheticDataset):
        paths["dataset.root"] = dataset.root
    for key, path in paths.items():
        if not is_uri(path) and not Path(path).is_absolute():
            raise SweepError(
                f"{key} {path} is relative, and the job's directory is deleted when it ends; "
                f"use an absolute path on the cluster: --set config.{key}=/..."
            )


def _sent_search(resolved: Mapping[str, Any], name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the resolved search file with the sweep's name."""
    data = {**resolved, "name": name}
    if (raw.get("tune") or {}).get("seed") is None:
        del data["tune"]["seed"]  # the job draws the seed when the sweep starts
    return data
