"""Which configurations, suggestions and retries a sweep accepts, and what they are resolved to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps.search.trial_planner import AddedConfiguration
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.steering.additions import added_configurations, reserved_suggestions
from sweeps.steering.judgement import judge
from sweeps.steering.request import Judgement, Verb, new_request
from sweeps.steering.state import SteeringState
from sweeps.steering.view import SweepView
from sweeps.sweep_dir.records import ADDED, StartWeights, TrialRecord
from tests.support.search_specs import spec_of

LR, NAME, MOMENTUM, BATCH = (
    "optimizer.learning_rate",
    "optimizer.name",
    "optimizer.momentum",
    "training.batch_size",
)
SGD = {NAME: "sgd", MOMENTUM: 0.6, LR: 0.2, BATCH: 20}


def saving_spec_of(**tune: Any) -> SearchSpec:
    """Returns a search whose trials save checkpoints."""
    data = spec_of().to_dict()
    data["config"]["checkpoint"] = {"enabled": True}
    data["tune"] |= tune
    return parse_search(data)


class Sweep:
    """A sweep with a finished, a failed and a running trial, to which requests are made."""

    def __init__(self, directory: Path, **tune: Any) -> None:
        states: list[Any] = ["finished", "failed", "running"]
        records = {
            f"{number}a": TrialRecord(f"{number}a", number, f"t_{number}a", dict(SGD), state=state)
            for number, state in enumerate(states)
        }
        self.view = SweepView(
            directory,
            saving_spec_of(**tune),
            records,
            SteeringState(),
            run_s=1.0,
            suggest=lambda: (5, dict(SGD)),
        )

    def ask(self, verb: Verb, trial: str | None = None, **arguments: Any) -> Judgement:
        """Judges a request and notes it, as the log does."""
        named = {key.removesuffix("_"): value for key, value in arguments.items()}
        judgement = judge(new_request(verb, trial, named), self.view)
        self.view.state.judgements[judgement.id] = judgement
        return judgement

    def refuse(self, verb: Verb, trial: str | None = None, **arguments: Any) -> str:
        judgement = self.ask(verb, trial, **arguments)
        assert not judgement.accepted
        return str(judgement.reason)

    def save(self, number: int, name: str = "best.pt", **model: Any) -> None:
        """Writes a checkpoint of a trial with weights of the model that the search trains."""
        from trainable.training.trainer import Trainer

        record = self.view.records[f"{number}a"]
        trainer = Trainer(record.config(self.view.spec), device=torch.device("cpu"))
        state = {**trainer.state_dict(), "epoch": 7}
        path = self.view.directory / record.directory / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def test_an_added_configuration_has_everything_that_its_trials_need(sweep: Sweep) -> None:
    first = sweep.ask("add", set={LR: 0.05}, like="0a")
    again = sweep.ask("add", set={LR: 0.05}, like="0a")
    outside = sweep.ask("add", set={LR: 5.0}, like="2a")
    assert first.values["values"] == {**SGD, LR: 0.05}
    assert (first.values["number"], first.values["outside"]) == (ADDED, [])
    assert first.trial == first.values["trials"][0]
    assert "seed_offset" not in first.values
    assert again.values["seed_offset"] == 2_000_000, "it would be the same training"
    assert outside.values["outside"] == [f'{LR}: {{"loguniform": [0.001, 1.0]}} cannot be 5.0']
    assert [added.number for added in added_configurations(sweep.view.state)] == [
        ADDED,
        ADDED + 1,
        ADDED + 2,
    ]


def test_a_configuration_has_an_id_for_each_repeat(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, repeats=3)
    values = sweep.ask("add", set={LR: 0.05}).values
    assert len(set(values["trials"])) == 3


def test_a_suggestion_is_added_once_with_its_values(sweep: Sweep) -> None:
    assert sweep.ask("suggest").values == {"number": 5, "values": SGD}
    assert reserved_suggestions(sweep.view.state) == {5: SGD}
    assert "has all of its values" in sweep.refuse("add", suggestion=5, set={LR: 0.1})
    assert "there is no suggestion 6" in sweep.refuse("add", suggestion=6)
    assert "there is no suggestion True" in sweep.refuse("add", suggestion=True)
    added = sweep.ask("add", suggestion=5)
    assert added_configurations(sweep.view.state) == [
        AddedConfiguration(SGD, 5, added.values["trials"])
    ]
    assert "has been added already" in sweep.refuse("add", suggestion=5)


@pytest.mark.parametrize(
    ("tune", "verb", "reason"),
    [
        ({"scheduler": {"name": "hyperband"}}, "add", "has sized its brackets"),
        ({"scheduler": {"name": "hyperband"}}, "suggest", "has sized its brackets"),
        ({"scheduler": {"name": "hyperband"}}, "retry", "has sized its brackets"),
        (
            {"search_alg": {"name": "bohb"}, "scheduler": {"name": "bohb"}},
            "add",
            "bohb has sized its brackets",
        ),
    ],
)
def test_a_scheduler_that_was_sized_at_the_start_takes_no_more_trials(
    tune: dict[str, Any], verb: Verb, reason: str, tmp_path: Path
) -> None:
    assert reason in Sweep(tmp_path, **tune).refuse(verb, "1a" if verb == "retry" else None)


def test_nothing_is_added_once_the_final_trials_have_begun(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, final={"top": 1, "repeats": 1})
    records = dict(sweep.view.records)
    records["fa"] = replace(records["0a"], id="fa", final=True, repeat=1)
    sweep.view = replace(sweep.view, records=records)
    for verb in ("add", "suggest"):
        assert "the final trials have begun" in sweep.refuse(verb)


def test_only_a_running_sweep_suggests(sweep: Sweep) -> None:
    sweep.view = replace(sweep.view, suggest=None)
    assert "only a running sweep suggests" in sweep.refuse("suggest")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"sets": {}}, "unknown arguments: sets"),
        ({"set": [1]}, "set must have values by key, found [1]"),
        ({"like": 3}, "expected the id of a trial, found 3"),
        ({"like": "9"}, 'no trial has an id that begins with "9"'),
        ({"from": "../../etc/passwd"}, "no trial has an id that begins with"),
        ({"suggestion": [5]}, "there is no suggestion [5]"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: dict[str, Any], reason: str, sweep: Sweep
) -> None:
    assert reason in sweep.refuse("add", **arguments)


def test_only_a_failed_trial_is_retried(sweep: Sweep) -> None:
    assert sweep.ask("retry", "1a").values == {"failures": 0}
    assert sweep.refuse("retry", "0a") == "trial 0a has not failed (finished)"


def test_the_weights_of_a_trial_are_copied_and_stay_as_they_are(sweep: Sweep) -> None:
    sweep.save(0)
    added = sweep.ask("add", set={LR: 0.01}, from_="0a")
    assert added.values["weights"] == {"trial": "0a", "epoch": 7, "file": "best.pt"}
    assert added.values["outside"] == ["it starts from the weights of trial 0a"]
    (configuration,) = added_configurations(sweep.view.state)
    assert configuration.weights == StartWeights("0a", 7, "best.pt")
    copy = sweep.view.directory / "weights" / f"{ADDED}.pt"
    source = sweep.view.directory / "t_0a" / "checkpoints" / "best.pt"
    content = copy.read_bytes()
    source.unlink()
    source.write_bytes(b"other")
    assert copy.read_bytes() == content
    assert torch.load(copy, weights_only=True)["epoch"] == 7


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"model.name": "resnet32"}, "are of model resnet20, found resnet32"),
        ({"model.num_classes": 12}, "other classes: model.num_classes None -> 12"),
        ({"dataset.name": "cifar10"}, "dataset.name digits -> cifar10"),
    ],
)
def test_weights_of_another_model_or_of_other_classes_are_refused(
    values: dict[str, Any], reason: str, sweep: Sweep
) -> None:
    sweep.save(0)
    assert reason in sweep.refuse("add", set=values, from_="0a")


def test_a_trial_without_a_good_checkpoint_gives_no_weights(sweep: Sweep) -> None:
    assert "has no checkpoint to start from: it has not started" in sweep.refuse("add", from_="2a")
    sweep.save(1, "latest.pt")
    (sweep.view.directory / "t_1a" / "checkpoints" / "latest.pt").write_bytes(b"half")
    assert "latest.pt is damaged" in sweep.refuse("add", from_="1a")


def test_a_refused_configuration_leaves_no_copy_of_weights(sweep: Sweep) -> None:
    data = sweep.view.spec.to_dict()
    data["config"]["model"] = {"name": "torchvision/mobilenet_v2"}
    sweep.view = replace(sweep.view, spec=parse_search(data))
    sweep.save(0)
    weights = sweep.view.directory / "weights"
    wider = sweep.refuse("add", set={"model.args": {"width_mult": 0.5}}, from_="0a")
    assert "the checkpoint of trial 0a " in wider
    assert list(weights.iterdir()) == []
    unknown = sweep.refuse("add", set={"model.args": {"width": 2}}, from_="0a")
    assert 'model.args.width: "torchvision/mobilenet_v2" takes no such argument' in unknown
    assert list(weights.iterdir()) == []


@pytest.mark.parametrize("verb", ["add", "suggest", "set"])
def test_a_request_about_the_sweep_names_no_trial(verb: Verb, sweep: Sweep) -> None:
    arguments = {"tune.num_samples": 9} if verb == "set" else {}
    reason = sweep.refuse(verb, "9z", **arguments)
    assert reason == f"{verb} concerns the sweep, found trial 9z"


@pytest.mark.parametrize("verb", ["stop", "pause", "resume", "retry"])
def test_a_request_about_a_trial_takes_no_arguments(verb: Verb, sweep: Sweep) -> None:
    trial = "1a" if verb == "retry" else "2a"
    assert sweep.refuse(verb, trial, epoch=3) == f"{verb} takes no arguments, found ['epoch']"
