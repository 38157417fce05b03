"""`log_to`: what is accepted, what is refused with which sentence, and missing clients."""

import importlib.util

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.spec.changes import change_live, read_settings
from sweeps.spec.load import parse_search
from sweeps.spec.log_to import LogTo, MLflowTracker, find_tracker_problems
from tests.support.search_specs import spec_of as build_spec
from tests.support.source_files import ROOT
from trainable.errors import ConfigError


def spec_of(**changes):
    return parse_search({**build_spec().to_dict(), **changes})


def test_all_trackers_are_off_by_default():
    assert spec_of().log_to == LogTo()
    assert LogTo().trackers == {}


def test_an_empty_mapping_turns_a_tracker_on():
    spec = spec_of(log_to={"mlflow": {}, "optuna": "study.log"})
    assert spec.log_to.trackers == {"mlflow": MLflowTracker(), "optuna": "study.log"}
    assert parse_search(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("log_to", "sentence"),
    [
        ({"mlflow": {"tracking_uri": "mlruns"}}, "has given up its file store"),
        ({"mlflow": {"tracking_uri": "file:///tmp/x"}}, "has given up its file store"),
        ({"mlflow": {"tracking_uri": "sqlite:///x.db"}}, "must have an absolute path"),
        ({"mlflow": {"tracking_uri": "ftp://x"}}, "must begin with http://"),
        ({"wandb": {"project": "a/b"}}, "must have 1 to 128 letters, digits, dots, _ and -"),
        ({"wandb": {"mode": "on"}}, 'must be "offline" or "online", found "on"'),
        ({"optuna": "logs/study.log"}, "must be a file name that ends in .log"),
        ({"optuna": "s3://bucket/study.log"}, "must be a file name that ends in .log"),
        ({"optuna": "events.jsonl"}, "must be a file name that ends in .log"),
        ({"mlflo": {}}, 'did you mean "mlflow"?'),
    ],
)
def test_wrong_settings_are_refused_with_the_rule(log_to, sentence):
    with pytest.raises(ConfigError, match=r"1 problem") as caught:
        spec_of(log_to=log_to)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["http://me:hush@host:5000", "https://hush@host/", "https://host/?api_token=hush"]
)
def test_an_address_with_a_secret_is_refused_without_showing_it(uri):
    with pytest.raises(ConfigError, match="must not contain a password or token") as caught:
        spec_of(log_to={"mlflow": {"tracking_uri": uri}})
    assert "hush" not in str(caught.value)


def test_a_missing_client_is_one_sentence_with_the_command_to_install_it(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "sweeps.spec.log_to.find_spec", lambda name: None if name == "wandb" else find_spec(name)
    )
    assert dict(find_tracker_problems(LogTo.model_validate({"mlflow": {}, "wandb": {}}))) == {
        "log_to.wandb": "needs W&B's client, which is not installed: "
        'pip install "tune-sweeps[wandb]"'
    }


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_commands_refuse_a_journal_in_a_directory_that_is_missing(verb, tmp_path):
    path = tmp_path / "nowhere" / "study.log"
    words = [verb, str(ROOT / "configs" / "search.yaml"), "--set", f"log_to.optuna={path}"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert f"must be in a directory that exists, found {path.parent}" in result.output


def test_trackers_can_be_turned_on_while_a_sweep_runs(monkeypatch):
    values = {"log_to.mlflow.experiment": "team", "log_to.optuna": "study.log"}
    spec = spec_of()
    assert read_settings(spec, values) == dict.fromkeys(values)
    changed = change_live(spec, values, "test")
    assert changed.log_to.trackers.keys() == {"mlflow", "optuna"}
    assert read_settings(changed, values) == values
    monkeypatch.setattr("sweeps.spec.log_to.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'needs MLflow.*pip install "tune-sweeps\[mlflow\]"'):
        change_live(spec, values, "test")
    assert change_live(changed, {"keep.epochs": 2}, "test").log_to == changed.log_to
