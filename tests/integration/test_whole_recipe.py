"""A whole fine-tuning recipe, all parts at once: resumed at every cut, and in a population."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tests.integration.chronicle import one_epoch_after, watched
from tests.integration.sweeping import search, start
from tests.support.augmentations import COLOURED
from trainable.__main__ import main
from trainable.artifacts.checkpoint import read_checkpoint, to_cpu, write_checkpoint
from trainable.config import TrainConfig, parse_config
from trainable.config.dotted import get_dotted
from trainable.config.yaml_reader import dump_yaml
from trainable.experiment.fit import Outcome
from trainable.ray_trial.trial_run import TrialRun
from trainable.training.trainer import Trainer

AssertSame = Callable[[Any, Any], None]
EPOCHS = 4
CUTS = range(1, EPOCHS)
every_cut = pytest.mark.parametrize(
    "cut", [2, *(pytest.param(cut, marks=pytest.mark.slow) for cut in CUTS if cut != 2)]
)
"""The first test has all of them in the default run."""
RECIPE: dict[str, dict[str, Any]] = {
    "seed": {"enabled": True, "threads": 1},
    "dataset": {
        **{"name": "synthetic", "shape": [3, 32, 32], "num_classes": 3},
        **{"num_train": 44, "num_test": 20, "val_split": 0.3},
    },
    "model": {"name": "", "freeze": {"stages": 1}, "unfreeze_epoch": 3},
    "training": {
        **{"epochs": EPOCHS, "batch_size": 12, "accumulation_steps": 2, "test_frequency": 2},
        **{"sampler": "balanced", "clip_grad": {"norm": 1.0}},
        **{"early_stopping": {"patience": 3}, "max_seconds": 1e6},
    },
    "optimizer": {
        **{"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.05},
        **{"layer_decay": 0.8, "head_lr_factor": 5.0, "decay_norm_and_bias": False},
    },
    "scheduler": {"name": "cosine", "on": "step", "warmup_steps": 6},
    "ema": {"enabled": True, "decay": 0.9},
    "augment": COLOURED,
    "loss": {"name": "focal", "weight": "balanced"},
    "checkpoint": {"monitor": "val_f1_macro"},
    "progress": {"enabled": False},
}
METRICS = ["f1_macro", "top2", "auroc", "confusion_matrix"]

MODELS = [
    pytest.param("timm/test_efficientnet", {"drop_path_rate": 0.2}, id="timm-efficientnet"),
    pytest.param("timm/test_vit", {"drop_path_rate": 0.2}, id="timm-vit", marks=pytest.mark.slow),
    pytest.param("torchvision/shufflenet_v2_x0_5", {}, id="torchvision", marks=pytest.mark.slow),
    pytest.param("resnet20", {}, id="built-in", marks=pytest.mark.slow),
]
every_model = pytest.mark.parametrize(("name", "args"), MODELS)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def recipe(name: str, args: dict[str, Any], **sections: dict[str, Any]) -> dict[str, Any]:
    """Returns the plain values of the recipe's config with merged sections."""
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    model = {"name": name, "args": args}
    merged = {"model": model, **sections}
    names = {**RECIPE, **merged}
    values: dict[str, Any] = {
        section: {**RECIPE.get(section, {}), **merged.get(section, {})} for section in names
    }
    return {**values, "metrics": METRICS}


def state_of(path: Path) -> Any:
    """Returns a checkpoint without what differs between two runs: names and seconds."""
    return _strip(read_checkpoint(path))


def _strip(value: Any) -> Any:
    if isinstance(value, dict):  # the keys of an optimizer's groups are in any order
        names = sorted(value.keys() - {"seconds", "config"}, key=str)
        return {name: _strip(value[name]) for name in names}
    return [_strip(item) for item in value] if isinstance(value, list) else value


@every_model
def test_a_training_resumes_bit_equal_at_every_cut(
    name: str,
    args: dict[str, Any],
    tmp_path: Path,
    assert_same: AssertSame,
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    config = parse_config(recipe(name, args))

    def make() -> Trainer:
        return Trainer(config, device=torch.device("cpu"))

    whole = make()
    rows = []
    for epoch in range(1, EPOCHS + 1):
        rows.append(without_times(whole.run_epoch()))
        write_checkpoint(whole.state_dict(), [tmp_path / f"{epoch}.pt"])
    assert [row["epoch"] for row in rows if "val_f1_macro" in row] == [1, 2, 3, 4]
    for cut in CUTS:
        resumed = make()
        resumed.load_state_dict(read_checkpoint(tmp_path / f"{cut}.pt"))
        assert_same([without_times(resumed.run_epoch()) for _ in range(cut, EPOCHS)], rows[cut:])
        write_checkpoint(resumed.state_dict(), [tmp_path / "resumed.pt"])
        assert_same(state_of(tmp_path / "resumed.pt"), state_of(tmp_path / f"{EPOCHS}.pt"))


@every_cut
def test_the_command_continues_a_stopped_training_at_every_cut(
    cut: int, working_directory: Path, assert_same: AssertSame, run_fit: Callable[..., Outcome]
) -> None:
    def config(experiment: str, resume: str | None = None) -> dict[str, Any]:
        checkpoint = {"enabled": True, "experiment_name": experiment, "resume": resume}
        return recipe("timm/test_efficientnet", {"drop_path_rate": 0.2}, checkpoint=checkpoint)

    whole = run_fit(parse_config(config("whole"))).directory
    assert whole is not None
    stopped = run_fit(parse_config(config(f"cut{cut}")), stop_after=cut).directory
    assert stopped is not None
    latest = stopped / "checkpoints" / "latest.pt"
    assert read_checkpoint(latest)["epoch"] == cut
    path = working_directory / "config.yaml"
    path.write_text(dump_yaml(config(f"cut{cut}", str(latest))))
    done = CliRunner().invoke(main, [str(path)])
    assert done.exit_code == 0, done.output
    for file in ("latest.pt", "best.pt"):
        left, right = (d / "checkpoints" / file for d in (stopped, whole))
        assert_same(state_of(left), state_of(right))


@every_cut
def test_a_trial_of_a_sweep_resumes_bit_equal_at_every_cut(
    cut: int,
    tmp_path: Path,
    assert_same: AssertSame,
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    config = recipe(
        "timm/test_efficientnet", {"drop_path_rate": 0.2}, checkpoint={"enabled": True}
    )
    config["_trial"] = {"gpu": 0, "allow_custom_model": True}

    def finish(run: TrialRun) -> list[dict[str, Any]]:
        rows = []
        while not rows or not rows[-1]["ended"]:
            rows.append(without_times(run.step()))
        run.close()
        return rows

    whole = finish(TrialRun(config, "whole", tmp_path / "whole"))
    assert len(whole) == EPOCHS
    directory = tmp_path / f"cut{cut}"
    first = TrialRun(config, "cut", directory)
    for _ in range(cut):
        first.step()
    saved = directory / "checkpoint_000000"  # one elsewhere is another trial's
    saved.mkdir()
    first.save_into(saved)
    first.close()
    second = TrialRun(config, "cut", directory)
    second.load(saved)
    assert_same(finish(second), whole[cut:])
    for file in ("latest.pt", "best.pt"):
        left, right = (d / "checkpoints" / file for d in (directory, tmp_path / "whole"))
        assert_same(state_of(left), state_of(right))


@pytest.mark.slow
@pytest.mark.ray
def test_a_population_changes_layer_decay_and_the_strength_of_augmentation(
    ray_session: None, tmp_path: Path, assert_same: AssertSame
) -> None:
    """Every recipient continues its donor's state with its own values, bit for bit."""
    keys = ("optimizer.layer_decay", "augment.randaugment.magnitude")
    config = recipe("resnet20", {}, checkpoint={"save_frequency": 1}, optimizer={"name": "sgd"})
    for section in ("model", "checkpoint"):
        config[section].pop("args", None)
    spec = search(
        tmp_path,
        space={keys[0]: {"uniform": [0.5, 1.0]}, keys[1]: {"uniform": [1.0, 15.0]}},
        tune={
            "num_samples": 4,
            "metric": "val_f1_macro",
            "scheduler": {"name": "pbt", "perturbation_interval": 1, "quantile_fraction": 0.5},
        },
        config=config,
    )
    (tmp_path / "chronicle").mkdir()
    with watched(tmp_path / "chronicle") as chronicle:
        outcome = start(spec)
    assert {result.record.state for result in outcome.results} == {"finished"}
    exploits = [exploit for exploit in chronicle.exploits if exploit.after is not None]
    assert exploits
    for exploit in exploits:
        assert exploit.after is not None
        after, donor = read_checkpoint(exploit.after), read_checkpoint(exploit.donor_copy)
        assert {key: get_dotted(after["config"], key) for key in keys} == {
            key: exploit.config[key] for key in keys
        }
        expected = to_cpu(one_epoch_after(donor, after["config"]))
        for part in ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"):
            assert_same(after[part], expected[part])


def test_the_recipe_has_every_part_of_the_config() -> None:
    """A new section is added to the recipe, or named here with the reason."""
    without_effect = {"amp": "has none on the CPU", "tensorboard": "is no state of a training"}
    assert set(TrainConfig.model_fields) - set(without_effect) == {*RECIPE, "metrics"}
