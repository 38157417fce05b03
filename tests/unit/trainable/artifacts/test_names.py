"""Names of files and experiment directories; concurrent callers get different ones."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Barrier

import pytest

from trainable.artifacts.names import automatic_name, epoch_file
from trainable.config import OwnDataset, TrainConfig
from trainable.errors import ExperimentError
from trainable.experiment.directory import create_directory

MakeConfig = Callable[..., TrainConfig]

NOW = datetime(2024, 1, 15, 14, 30, 22)


def test_an_automatic_name_is_model_dataset_timestamp(tiny_config: MakeConfig) -> None:
    config = tiny_config(model={"name": "resnet20"}, dataset={"name": "cifar10"})
    assert automatic_name(config, NOW) == "resnet20_cifar10_20240115_143022"


def test_the_name_of_an_epoch_file_has_four_digits_or_more() -> None:
    assert epoch_file(10) == "epoch_0010.pt"
    assert epoch_file(12345) == "epoch_12345.pt"


def test_a_custom_model_is_named_by_its_callable(tiny_config: MakeConfig) -> None:
    assert automatic_name(tiny_config(), NOW) == "mlp_digits_20240115_143022"
    own = OwnDataset(name="my.data:scans")
    config = tiny_config().model_copy(update={"dataset": own})
    assert automatic_name(config, NOW) == "mlp_scans_20240115_143022"


@pytest.mark.parametrize("name", ["timm/resnet50.a1_in1k", "torchvision/resnet50"])
def test_a_model_of_a_library_is_named_by_its_architecture(
    tiny_config: MakeConfig, name: str
) -> None:
    config = tiny_config(model={"name": name})
    assert automatic_name(config, NOW) == "resnet50_digits_20240115_143022"


def test_the_directory_is_made_with_its_parents(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path / "a" / "b")})
    directory = create_directory(config, NOW)
    assert directory == tmp_path / "a" / "b" / "mlp_digits_20240115_143022"
    assert directory.is_dir()


def test_a_relative_directory_is_of_the_working_directory(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = create_directory(tiny_config(checkpoint={"enabled": True}), NOW)
    assert directory == tmp_path / "experiments" / "mlp_digits_20240115_143022"


def test_a_taken_automatic_name_gets_a_number(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path)})
    names = [create_directory(config, NOW).name for _ in range(3)]
    name = "mlp_digits_20240115_143022"
    assert names == [name, f"{name}_2", f"{name}_3"]


def test_threads_in_the_same_second_never_share_a_directory(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path)})
    with ThreadPoolExecutor(32) as threads:
        directories = list(threads.map(lambda _: create_directory(config, NOW), range(200)))
    assert len(set(directories)) == 200
    assert len(list(tmp_path.iterdir())) == 200


PROCESSES = """
import os, sys
from datetime import datetime
from trainable.config import load_config
from trainable.experiment.directory import create_directory
config = load_config(sys.argv[1])
for _ in range(4):
    if os.fork() == 0:
        created = [create_directory(config, datetime(2024, 1, 15)).name for _ in range(50)]
        os.write(1, ("\\n".join(created) + "\\n").encode())
        os._exit(0)
for _ in range(4):
    assert os.wait()[1] == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_in_the_same_second_never_share_a_directory(
    tmp_path: Path, project_environment: dict[str, str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "dataset: {name: digits}\nmodel: {name: resnet20}\ntraining: {epochs: 1}\n"
        "optimizer: {name: sgd, learning_rate: 0.1}\n"
        f"checkpoint: {{enabled: true, dir: '{tmp_path / 'experiments'}'}}\n"
    )
    command = [sys.executable, "-c", PROCESSES, str(config)]
    done = subprocess.run(
        command, env=project_environment, capture_output=True, text=True, check=True
    )
    directories = done.stdout.split()
    assert len(directories) == len(set(directories)) == 200


def test_a_custom_name_is_used_as_it_is(tmp_path: Path, tiny_config: MakeConfig) -> None:
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "my_experiment_v1"}
    directory = create_directory(tiny_config(checkpoint=checkpoint), NOW)
    assert directory == tmp_path / "my_experiment_v1"


def test_an_empty_directory_of_the_custom_name_is_taken_over(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    (tmp_path / "mine").mkdir()
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "mine"}
    assert create_directory(tiny_config(checkpoint=checkpoint), NOW) == tmp_path / "mine"


def test_a_taken_custom_name_is_refused_and_nothing_changes(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    taken = tmp_path / "mine"
    taken.mkdir()
    (taken / "config.yaml").write_text("theirs")
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "mine"}
    latest = taken / "checkpoints" / "latest.pt"
    elsewhere = tmp_path / "other" / "checkpoints" / "latest.pt"
    for resume in ("", str(elsewhere)):
        config = tiny_config(checkpoint={**checkpoint, "resume": resume})
        with pytest.raises(ExperimentError) as caught:
            create_directory(config, NOW)
        assert str(caught.value) == (
            f"{taken} already holds an experiment; set checkpoint.resume to {latest} to continue "
            "it, or choose another checkpoint.experiment_name"
        )
    assert [path.name for path in taken.iterdir()] == ["config.yaml"]


def test_a_custom_name_is_continued_where_resume_points_into_it(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "checkpoints").mkdir(parents=True)
    (tmp_path / "mine" / "config.yaml").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for resume in (str(tmp_path / "mine/checkpoints/latest.pt"), "mine/checkpoints/latest.pt"):
        checkpoint = {"enabled": True, "dir": ".", "experiment_name": "mine", "resume": resume}
        assert create_directory(tiny_config(checkpoint=checkpoint), NOW) == tmp_path / "mine"


def test_only_one_of_two_callers_gets_a_custom_name(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "mine"}
    config = tiny_config(checkpoint=checkpoint)
    both_have_looked = Barrier(2)
    exists = Path.exists

    def look_together(self: Path) -> bool:
        does_exist = exists(self)
        if self.name == "mine":
            both_have_looked.wait()
        return does_exist

    def got_it(_: int) -> bool:
        try:
            create_directory(config, NOW)
        except ExperimentError:
            return False
        return True

    monkeypatch.setattr(Path, "exists", look_together)
    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(got_it, range(2))) == [False, True]


def test_a_base_that_is_a_file_is_refused(tmp_path: Path, tiny_config: MakeConfig) -> None:
    (tmp_path / "experiments").write_text("a file")
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path / "experiments")})
    with pytest.raises(ExperimentError, match="cannot create an experiment in "):
        create_directory(config, NOW)
