"""`trial.log` of a Tune trial: epochs, the model's output, failures."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.train._internal.storage import StorageContext

from tests.support import talking_models
from trainable.artifacts.trial_log import TrialLog, replace_unencodable
from trainable.errors import CheckpointError
from trainable.ray_trial.classifier import ClassifierTrainable

MakeTrial = Callable[..., ClassifierTrainable]

SECTIONS = {
    "model": {"name": "tests.support.talking_models:keeping"},
    # No epoch is due, so that the next one is not started early.
    "checkpoint": {"enabled": True, "save_frequency": 100, "save_best": False},
}


class LocalStorage(StorageContext):
    """Tune's storage, except for the working directory, which needs a running Ray."""

    @property
    def trial_working_directory(self) -> str:
        return Path(self.trial_fs_path, "working_directory").as_posix()


def storage(directory: Path, trial: str = "trial") -> LocalStorage:
    return LocalStorage(str(directory), experiment_dir_name="sweep", trial_dir_name=trial)


def lines(directory: Path, trial: str = "trial") -> list[str]:
    return (directory / "sweep" / trial / "trial.log").read_text().splitlines()


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talking_models, "KEPT", {})


def test_the_log_has_notices_epochs_and_the_models_output(
    make_trial: MakeTrial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = make_trial(storage=storage(tmp_path), **SECTIONS)
    row = trial.train()
    first, *rest = lines(tmp_path)
    assert first.startswith("--- 20")
    assert rest[0] == "note: no CUDA device: training on the CPU"
    assert rest[1:-1] == ["a batch"] * 5
    assert rest[-1].startswith(f"epoch 1/3  train_loss {row['train_loss']:.4f}  ")
    trial.train()
    assert lines(tmp_path)[-1].startswith("epoch 2/3  ")
    last = trial.train()["val_acc"]
    pattern = rf"finished: best val_acc \d\.\d{{4}} at epoch [123], last {last:.4f} at epoch 3"
    assert re.fullmatch(pattern, lines(tmp_path)[-1])
    assert any(line.startswith("epoch 1/3") and "(best so far)" in line for line in rest)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("encoding", "errors", "text", "printed"),
    [
        ("ascii", "strict", "größe 模", b"gr??e ?\n"),
        ("ascii", "surrogateescape", "größe", b"gr??e\n"),
        ("latin-1", "strict", "größe 模", "größe ?\n".encode("latin-1")),
        ("utf-8", "strict", "größe", "größe\n".encode()),
        ("utf-8", "strict", "\udcff", b"?\n"),
        ("UTF8", "surrogateescape", "\udcff", b"\xff\n"),
    ],
)
def test_characters_that_the_terminal_lacks_are_replaced(
    encoding: str, errors: str, text: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, errors=errors)
    monkeypatch.setattr(sys, "stdout", stream)
    replace_unencodable()
    print(text)
    stream.flush()
    assert buffer.getvalue() == printed


def test_the_log_has_a_failure_with_its_traceback_and_a_retry_appends(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_trial(storage=storage(tmp_path), **SECTIONS)
    first.train()
    saved = first.save()
    with monkeypatch.context() as patch:
        patch.setattr(talking_models.KeepsStream, "fails", True)
        with pytest.raises(RuntimeError, match="on request"):
            first.train()
    before = lines(tmp_path)
    assert before[-1] == "RuntimeError: it has failed on request"
    assert "Traceback (most recent call last):" in before
    assert any("talking_models.py" in line for line in before)
    second = make_trial(storage=storage(tmp_path), **SECTIONS)
    second.restore(saved)
    second.train()
    after = lines(tmp_path)
    assert after[: len(before)] == before
    assert "continues after epoch 1 of trial" in after
    assert after[-1].startswith("epoch 2/3  ")


def test_a_checkpoint_that_cannot_be_loaded_is_logged(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial(storage=storage(tmp_path), **SECTIONS)
    with pytest.raises(CheckpointError):
        trial.load_checkpoint(str(tmp_path / "none"))
    assert "there is no such file" in lines(tmp_path)[-1]


def test_without_checkpoints_there_is_a_log_too(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial(
        storage=storage(tmp_path), model=SECTIONS["model"], checkpoint={"enabled": False}
    )
    trial.train()
    assert lines(tmp_path)[-1].startswith("epoch 1/3  ")


def test_a_kept_stream_writes_to_the_log_of_the_current_trial(
    make_trial: MakeTrial, trial_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(storage=storage(tmp_path, "first"), **SECTIONS)
    trial.train()
    before = lines(tmp_path, "first")
    trial.reset(trial_config(**SECTIONS), storage=storage(tmp_path, "second"))
    trial.train()
    assert lines(tmp_path, "first") == before
    assert lines(tmp_path, "second").count("a batch") == 5


def test_outside_a_step_a_kept_stream_is_the_usual_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr
    with TrialLog(tmp_path / "trial.log").capture():
        kept = sys.stdout, sys.stderr
        print("inside \ud800")
    assert (sys.stdout, sys.stderr) == before
    print("outside", file=kept[0])
    print("error", file=kept[1])
    assert capsys.readouterr() == ("outside\n", "error\n")
    assert (tmp_path / "trial.log").read_text() == "inside \\ud800\n"


def test_a_line_is_in_the_file_as_soon_as_it_is_printed(tmp_path: Path) -> None:
    with TrialLog(tmp_path / "trial.log").capture():
        print("now", file=sys.stderr)
        assert (tmp_path / "trial.log").read_text() == "now\n"


def test_output_between_steps_is_not_captured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = TrialLog(tmp_path / "trial.log")
    kept = []

    def work() -> Iterator[int]:
        kept.append(sys.stdout)
        for step in range(2):
            print(f"step {step}")
            print(f"warning {step}", file=sys.stderr)
            log.write(f"line {step}")
            yield step
        return "result"

    outside = sys.stdout, sys.stderr
    steps = log.capture_steps(work())
    for step in range(2):
        assert next(steps) == step
        assert (sys.stdout, sys.stderr) == outside
        print(f"between {step}")
        print(f"kept {step}", file=kept[0])
        log.write("not captured")
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "result"
    assert capsys.readouterr().out == "between 0\nkept 0\nbetween 1\nkept 1\n"
    lines = ["step 0", "warning 0", "line 0", "step 1", "warning 1", "line 1"]
    assert (tmp_path / "trial.log").read_text().splitlines() == lines


def test_a_step_that_fails_leaves_its_traceback_and_the_streams_as_they_were(
    tmp_path: Path,
) -> None:
    def work() -> Iterator[int]:
        yield 0
        raise RuntimeError("no such luck")

    outside = sys.stdout, sys.stderr
    steps = TrialLog(tmp_path / "trial.log").capture_steps(work())
    next(steps)
    with pytest.raises(RuntimeError, match="no such luck"):
        next(steps)
    assert (sys.stdout, sys.stderr) == outside
    text = (tmp_path / "trial.log").read_text()
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("RuntimeError: no such luck\n")


def test_two_trials_in_turns_write_to_their_own_logs(tmp_path: Path) -> None:
    def work(name: str) -> Iterator[int]:
        for step in range(3):
            print(f"{name} {step}")
            yield step

    paths = [tmp_path / name for name in ("a", "b")]
    for _ in zip(*(TrialLog(p).capture_steps(work(p.name)) for p in paths), strict=True):
        pass
    for path in paths:
        assert path.read_text().splitlines() == [f"{path.name} {step}" for step in range(3)]
