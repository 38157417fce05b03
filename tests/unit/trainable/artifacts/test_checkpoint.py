"""The checkpoint file: its keys, writing it once under several names, refusing bad files."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.small_disks import largest_file
from trainable.artifacts.checkpoint import (
    checkpoint_epoch,
    is_complete,
    read_checkpoint,
    to_cpu,
    write_checkpoint,
)
from trainable.errors import CheckpointError
from trainable.training.trainer import Trainer


@pytest.fixture
def state() -> dict[str, Any]:
    """A minimal checkpoint."""
    return {
        "model_state_dict": {"weight": torch.arange(12.0).reshape(3, 4)},
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "scheduler_state_dict": {"name": "cosine", "epoch": 3},
        "epoch": 3,
        "best_acc": 0.5,
        "config": {"model": {"name": "resnet20"}},
        "resume_state": {"format": 1, "seed": 7, "best_epoch": 2},
    }


def refusal(path: Path) -> str:
    """Returns the message with which a file is refused."""
    assert not is_complete(path)
    assert checkpoint_epoch(path) is None
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


class Bomb:
    """Runs a command when it is unpickled without `weights_only`."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._trace}",)


def test_a_trained_state_has_the_documented_keys(
    tmp_path: Path, tiny_trainer: Callable[..., Trainer]
) -> None:
    trainer = tiny_trainer()
    trainer.run_epoch()
    write_checkpoint(trainer.state_dict(), [tmp_path / "latest.pt"])
    loaded = torch.load(tmp_path / "latest.pt")
    assert set(loaded) == {
        "model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "epoch", "best_acc",
        "config", "resume_state",
    }  # fmt: skip
    assert loaded["epoch"] == 1
    assert 0 < loaded["best_acc"] <= 1
    assert loaded["config"] == trainer.config.to_dict()
    assert set(loaded["resume_state"]) == {"format", "seed", "best_epoch", "image"}
    trainer.model.load_state_dict(loaded["model_state_dict"])


def test_a_checkpoint_is_read_as_it_was_written_bit_for_bit(
    tmp_path: Path, tiny_trainer: Callable[..., Trainer], assert_same: Callable[[Any, Any], None]
) -> None:
    trainer = tiny_trainer(
        model={"name": "tiny_models:dropout_cnn"}, optimizer={"name": "adam", "learning_rate": 0.1}
    )
    trainer.run_epoch()
    write_checkpoint(trainer.state_dict(), [tmp_path / "latest.pt"])
    assert_same(read_checkpoint(tmp_path / "latest.pt"), to_cpu(trainer.state_dict()))


def test_a_state_is_serialised_once_whatever_the_number_of_names(
    tmp_path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = []
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda *args: (saves.append(1), save(*args)))
    names = [tmp_path / name for name in ("epoch_0003.pt", "best.pt", "latest.pt")]
    write_checkpoint(state, names)
    assert len(saves) == 1
    assert len({path.stat().st_ino for path in names}) == 1
    assert names[0].stat().st_nlink == 3


def test_tensors_of_a_nested_state_are_found_and_plain_values_kept() -> None:
    weight = torch.ones(2, requires_grad=True)
    copied = to_cpu({"a": [weight, (weight, 3)], "b": "text", "c": None})
    assert copied["b"] == "text"
    assert copied["c"] is None
    assert copied["a"][1][1] == 3
    assert isinstance(copied["a"][1], tuple)
    assert not copied["a"][0].requires_grad
    assert not copied["a"][1][0].requires_grad


def test_the_epoch_of_a_file_is_read(tmp_path: Path, state: dict[str, Any]) -> None:
    write_checkpoint(state, [tmp_path / "latest.pt"])
    assert checkpoint_epoch(tmp_path / "latest.pt") == 3
    assert is_complete(tmp_path / "latest.pt")


def test_a_missing_file_is_refused_with_the_good_ones_beside_it(
    tmp_path: Path, state: dict[str, Any]
) -> None:
    write_checkpoint(state, [tmp_path / "best.pt", tmp_path / "epoch_0003.pt"])
    (tmp_path / "epoch_0002.pt").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    assert refusal(tmp_path / "latest.pt") == (
        f"{tmp_path / 'latest.pt'}: there is no such file; "
        "good checkpoints beside it: best.pt, epoch_0003.pt"
    )


def test_a_file_in_a_missing_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "latest.pt"
    assert refusal(path) == f"{path}: there is no such file"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: expected a .pt file, found a directory")


def test_a_file_truncated_anywhere_is_refused(tmp_path: Path, state: dict[str, Any]) -> None:
    good = tmp_path / "good.pt"
    write_checkpoint(state, [good])
    whole = good.read_bytes()
    cut = tmp_path / "latest.pt"
    for length in (*range(0, len(whole) - 1, 97), len(whole) - 1):
        cut.write_bytes(whole[:length])
        assert not is_complete(cut), length
    text = refusal(cut)
    assert "expected a whole checkpoint, found a truncated or foreign file" in text
    assert text.endswith("good checkpoints beside it: good.pt")
    assert "\n" not in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"aaa",
        b"hello, this is a text\n",
        b"model:\n  name: resnet20\n",
        b'{"epoch": 3}\n',
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"PK\x03\x04" + bytes(64),
        pickle.dumps({"epoch": 3}, protocol=4),
    ],
    ids=["empty", "letters", "text", "yaml", "json", "png", "zip", "pickle"],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "latest.pt"
    path.write_bytes(content)
    text = refusal(path)
    assert "expected" in text
    assert "foreign file" in text
    assert "good checkpoints beside it: none" in text


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_named_and_never_run(
    tmp_path: Path, state: dict[str, Any], legacy: bool
) -> None:
    path, trace = tmp_path / "latest.pt", tmp_path / "ran"
    bomb = {**state, "config": Bomb(trace)}
    torch.save(bomb, path, _use_new_zipfile_serialization=not legacy)
    text = refusal(path)
    assert "expected tensors and plain values only, found code (posix.system)" in text
    # torch's own message advises to load the file all the same.
    assert "weights_only" not in text
    assert not trace.exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    assert "found code (torch.nn.modules.linear.Linear)" in refusal(tmp_path / "model.pt")


def test_an_object_that_is_not_a_mapping_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "latest.pt")
    assert "expected a mapping of model_state_dict, " in refusal(tmp_path / "latest.pt")
    assert "found list" in refusal(tmp_path / "latest.pt")


def test_missing_keys_are_named(tmp_path: Path, state: dict[str, Any]) -> None:
    del state["epoch"], state["config"]
    torch.save(state, tmp_path / "latest.pt")
    assert "found none named epoch, config" in refusal(tmp_path / "latest.pt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scheduler_state_dict", None, "expected scheduler_state_dict of type dict, found None"),
        ("epoch", "3", "expected epoch of type int, found str"),
        ("best_acc", torch.tensor(0.5), "expected best_acc of type float, found Tensor"),
        ("config", "resnet20.yaml", "expected config of type dict, found str"),
        ("resume_state", [1], "expected resume_state of type dict, found list"),
    ],
)
def test_a_key_of_another_type_is_named(
    tmp_path: Path, state: dict[str, Any], key: str, value: Any, message: str
) -> None:
    torch.save({**state, key: value}, tmp_path / "latest.pt")
    assert message in refusal(tmp_path / "latest.pt")


def test_a_file_without_the_extra_key_is_accepted(tmp_path: Path, state: dict[str, Any]) -> None:
    """The documented keys are enough."""
    del state["resume_state"]
    torch.save(state, tmp_path / "latest.pt")
    assert checkpoint_epoch(tmp_path / "latest.pt") == 3


@pytest.mark.parametrize("version", [3, "x"])
def test_a_file_of_a_later_format_is_refused(
    version: int | str, tmp_path: Path, state: dict[str, Any]
) -> None:
    state["resume_state"]["format"] = version
    torch.save(state, tmp_path / "latest.pt")
    text = f"expected checkpoint format 2 or older, found {version}"
    assert text in refusal(tmp_path / "latest.pt")


def test_the_operating_systems_error_is_raised_where_a_disk_is_full(
    state: dict[str, Any], tmp_path: Path
) -> None:
    state["model_state_dict"]["weight"] = torch.zeros(10_000)
    with largest_file(5000), pytest.raises(OSError, match="too large"):
        write_checkpoint(state, [tmp_path / "latest.pt"])
    assert list(tmp_path.iterdir()) == []
