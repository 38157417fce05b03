"""The files for clusters in configs/cluster, checked without a cluster."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import ray
import yaml

from sweeps.cli.main import main

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "cluster"
AWS, KUBERAY, SLURM = (FOLDER / name for name in ("aws_spot.yaml", "kuberay_job.yaml", "slurm.sh"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def parse_command(command: str) -> dict[str, Any]:
    """Returns the values of a `sweep` command; raises for unknown and missing arguments."""
    program, name, *words = shlex.split(command)
    assert program == "sweep"
    verb = main.commands[name]
    if isinstance(verb, click.Group) and words[0] in verb.commands:
        verb = verb.commands[words.pop(0)]
    context = click.Context(verb, parent=click.Context(main, **main.context_settings))
    values, rest, _ = verb.make_parser(context).parse_args(words)
    assert rest == []
    for parameter in verb.get_params(context):
        parameter.handle_parse_result(context, values, [])
    return values


def test_every_file_for_clusters_is_covered() -> None:
    assert {path for path in FOLDER.iterdir()} == {AWS, KUBERAY, SLURM}


@pytest.mark.parametrize("path", [AWS, KUBERAY, SLURM], ids=lambda path: path.name)
def test_each_file_is_short_and_states_its_use(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 80
    head = "\n".join(line for line in lines[:16] if line.startswith("#"))
    assert f"configs/cluster/{path.name}" in head
    assert "# Before: " in head


def test_the_aws_cluster_is_valid_for_ray_up() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = read(AWS)
    jsonschema.validate(config, schema)
    types = config["available_node_types"]
    assert config["head_node_type"] in types
    (worker,) = types.keys() - {config["head_node_type"]}
    assert types[worker]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert types[worker]["min_workers"] <= types[worker]["max_workers"] <= config["max_workers"]


def test_the_aws_machines_install_all_requirements() -> None:
    (install,) = [line for line in read(AWS)["setup_commands"] if line.startswith("pip install")]
    names = {re.split(r"[\[<>=]", word)[0] for word in shlex.split(install)[2:]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert names >= {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    (ray_line,) = project["optional-dependencies"]["cluster"]
    assert ray_line.partition("]")[2] in install  # the same range of versions


def test_the_dashboard_listens_on_the_heads_loopback() -> None:
    (start,) = [line for line in read(AWS)["head_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in shlex.split(start)
    assert "--include-dashboard=false" in SLURM.read_text(encoding="utf-8")


def test_the_shown_commands_are_valid() -> None:
    text = AWS.read_text(encoding="utf-8").replace("\\\n#", " ")
    (command,) = re.findall(r"^#\s+(sweep submit .*)$", text, re.MULTILINE)
    values = parse_command(command)
    assert [text.partition("=")[0] for text in values["assignments"]] == [
        "config.checkpoint.dir",
        "config.dataset.root",
    ]


def test_the_kuberay_job_runs_the_run_command() -> None:
    manifest = read(KUBERAY)
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert manifest["metadata"]["name"]
    spec = manifest["spec"]
    values = parse_command(spec["entrypoint"])
    assert (values["address"], values["or_resume"]) == ("auto", True)
    variables = yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]
    assert variables["RAY_JOB_STOP_SIGNAL"] == "SIGTERM"
    assert int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) > 3  # Ray's default
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == ray.__version__
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"]
        assert container["resources"]["limits"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
        assert values["search_file"].startswith(mounted["search"])


def test_the_slurm_script_is_bash_and_runs_the_run_command() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    text = SLURM.read_text(encoding="utf-8")
    (command,) = re.findall(r"^(sweep run .*) &$", text, re.MULTILINE)
    values = parse_command(command.replace('"$@"', ""))
    assert (values["address"], values["or_resume"]) == ("$head:$port", True)
    assert re.search(r"^#SBATCH --signal=B:TERM@\d+$", text, re.MULTILINE)
    assert re.search(r"^export RAY_AUTH_MODE=token$", text, re.MULTILINE)


def test_the_commands_of_the_page_are_valid() -> None:
    text = (ROOT / "docs" / "guides" / "cluster.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    commands = [line.partition("#")[0] for line in blocks.splitlines()]
    shown = [parse_command(line) for line in commands if line.startswith("sweep ")]
    assert len(shown) >= 6
    assert all(values.get("address", True) for values in shown)
