"""`~` is the home directory wherever a path is taken: files, options, Python, hooks."""

import stat
from pathlib import Path
from typing import Any

import pytest

from sweeps import load_sweep
from sweeps.execution.observers.hooks import run_command
from sweeps.spec.load import load_search, parse_search
from tests.support.fake_sweeps import ONE_KEY, FakeSweep, as_json, sweep
from trainable.config import load_config, parse_config
from trainable.config.yaml_reader import dump_yaml
from trainable.errors import ConfigError, PathError
from trainable.experiment.from_checkpoint import restored_config
from trainable.storage.experiment import local_file
from trainable.uri import expand_home

CONFIG: dict[str, Any] = {
    "dataset": {"name": "digits", "root": "~/data"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 2},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "tensorboard": {"log_dir": "~/logs"},
    "checkpoint": {"enabled": True, "dir": "~/experiments", "resume": "~/x.pt"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory, which is not the working directory."""
    path, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    path.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(path))
    return path


def paths_of(config: Any) -> list[str]:
    checkpoint = config.checkpoint
    return [config.dataset.root, config.tensorboard.log_dir, checkpoint.dir, checkpoint.resume]


def test_every_path_of_a_training_config_is_expanded(home: Path) -> None:
    expected = [f"{home}/{name}" for name in ("data", "logs", "experiments", "x.pt")]
    assert paths_of(parse_config(CONFIG)) == expected
    (home / "c.yaml").write_text(dump_yaml(CONFIG))
    assert paths_of(load_config("~/c.yaml")) == expected


def test_every_path_of_a_search_file_is_expanded(home: Path) -> None:
    (home / "c.yaml").write_text(dump_yaml(CONFIG))
    search = {
        "config": "~/c.yaml",
        "space": ONE_KEY,
        "tune": {"num_samples": 2, "warm_start": "~/earlier", "search_alg": "tpe"},
    }
    spec = parse_search(search)
    assert spec.tune.warm_start == f"{home}/earlier"
    assert paths_of(spec.training)[0] == f"{home}/data"
    (home / "s.yaml").write_text(dump_yaml({**search, "config": "c.yaml"}))
    assert load_search("~/s.yaml").training == spec.training


def test_every_path_of_a_command_is_expanded(home: Path) -> None:
    """A shell leaves the `~` of `--output=~/x.csv` as it is."""
    FakeSweep(home / "experiments" / "digits", 4, space=ONE_KEY, tune={}).write()
    (home / "c.yaml").write_text(dump_yaml({**CONFIG, "checkpoint": {}}))
    data = {"config": "c.yaml", "space": ONE_KEY, "tune": {"num_samples": 2}}
    (home / "s.yaml").write_text(dump_yaml(data))
    assert as_json("status", "~/experiments/digits")["state"] == "finished"
    assert [values["name"] for values in as_json("list", "~/experiments")] == ["digits"]
    sweep("export", "~/experiments/digits", "--output=~/x.csv")
    assert (home / "x.csv").exists()
    sweep("plan", "~/s.yaml", "--write=~/plan")
    assert len(list((home / "plan").iterdir())) == 2
    assert list(Path().iterdir()) == []


def test_every_path_given_in_python_is_expanded(home: Path) -> None:
    FakeSweep(home / "digits", 4, space=ONE_KEY, tune={}).write()
    assert load_sweep("~/digits").directory == home / "digits"
    with local_file("~/x.pt") as path:
        assert path == home / "x.pt"


def test_a_command_of_a_hook_is_expanded(home: Path) -> None:
    script = home / "notify.sh"
    script.write_text('#!/bin/sh\necho "$1" > "$HOME/called"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    event = dict.fromkeys(("directory", "trial", "metric", "value"), "")
    run_command("~/notify.sh ~/log", event, timeout=30)
    assert (home / "called").read_text() == f"{home}/log\n"


def test_uris_and_other_paths_stay_as_they_are(home: Path) -> None:
    for path in ("s3://bucket/~/x", "./~/x", "x~", "/data/~", "data"):
        assert expand_home(path) == path


def test_the_home_of_a_user_that_does_not_exist_is_refused_by_key(home: Path) -> None:
    rule = (
        "begins with ~no-such-user, but there is no such user; a directory of that name is "
        "./~no-such-user, found ~no-such-user/x"
    )
    config = {**CONFIG, "dataset": {"name": "digits", "root": "~no-such-user/x"}}
    with pytest.raises(ConfigError) as caught:
        parse_config(config)
    assert str(caught.value) == f"config: 1 problem\n  dataset.root: {rule}"
    with pytest.raises(ConfigError, match=r"dataset\.root: begins with ~no-such-user"):
        parse_search({"config": config, "space": ONE_KEY, "tune": {"num_samples": 2}})
    with pytest.raises(PathError, match="begins with ~no-such-user"):
        restored_config("~no-such-user/best.pt", "experiments", None, {})
    assert f"'--output': {rule}" in sweep("export", ".", "--output=~no-such-user/x", code=2).stderr
