"""All checks of one config together."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainable.config import TrainConfig, parse_config
from trainable.config.yaml_reader import parse_yaml
from trainable.errors import ConfigError
from trainable.preflight.checks import Checker, is_checked_slowly, refuse_failing

MakeConfig = Callable[..., TrainConfig]


def test_all_problems_are_listed_at_once_with_their_lines(tmp_path: Path) -> None:
    text = f"""\
dataset: {{name: image_folder, root: {tmp_path}/gone}}
model: {{name: "no_module_of_this_name:Net"}}
training: {{epochs: 2}}
optimizer: {{name: sgd, learning_rate: 0.1}}
checkpoint:
  resume: {tmp_path}/gone.pt
"""
    document = parse_yaml(text, "train.yaml")
    config = parse_config(document)
    with pytest.raises(ConfigError) as caught:
        refuse_failing(config, allow_custom_model=True, document=document)
    lines = str(caught.value).splitlines()
    assert lines[0] == "train.yaml: 3 problems"
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines[1:]] == [
        "dataset.root",
        "model.name",
        "checkpoint.resume",
    ]
    assert [line.split(":")[0] for line in lines[1:]] == ["  line 1", "  line 2", "  line 6"]


def test_own_code_needs_the_flag(tiny_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match="add --allow-custom-model on the command line"):
        refuse_failing(tiny_config(), allow_custom_model=False)
    refuse_failing(tiny_config(), allow_custom_model=True)


def test_only_own_models_folders_and_resumes_are_checked_slowly(tiny_config: MakeConfig) -> None:
    built_in = tiny_config(model={"name": "resnet20"})
    assert not is_checked_slowly(built_in)
    assert is_checked_slowly(tiny_config())
    assert is_checked_slowly(
        tiny_config(model={"name": "resnet20"}, dataset={"name": "image_folder"})
    )
    assert Checker(allow_custom_model=False).slow_problems(built_in) == []
