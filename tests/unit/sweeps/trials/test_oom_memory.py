"""Trials that would run out of memory, in sweeps on the fake of Tune's loop.

A training runs out of memory with as many images at once as the test says, and fails as a worker
reports it.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError, RayTaskError
from ray.train._internal import storage
from ray.tune.experiment import Trial

from sweeps.execution.tune_run import TuneRun
from sweeps.results.stored_spec import open_sweep
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.event_log import Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import Failure, TrialRecord, now
from sweeps.trials import oom_memory
from sweeps.trials.failures import read_batches
from sweeps.trials.memory_facts import MemoryFact, MemoryFile, setting_of
from sweeps.trials.oom_memory import DEVICE_LINE, OomMemory
from tests.support import fake_driver
from tests.support.fake_driver import FakeTune, new_spec, resume, start
from tests.support.scripted_trainable import VALUE
from trainable.training.device import naming_device
from trainable.trial_settings import SETTINGS

DEVICE = "cpu (8.0 GiB)"
ALONE = f"on {DEVICE}, of which this process may use 100 % and could use 89 %"
BUSY = f"on {DEVICE}, of which this process may use 100 % and could use 40 %"
BUSY_GPU = "on A GPU (8.0 GiB), of which this process may use 100 % and could use 80 %"
HALVES = {"training.accumulation_steps": 2}
SPACE = {"training.batch_size": {"grid": [64, 128, 256, 33]}}


class SmallDevice(FakeTune):
    """Trials run out of memory with `limit` images at once, or more.

    Args:
        run: The run of a sweep.
        limit: Number of images.
        line: What a worker says of its device.
        kill: Called before each epoch; it may raise.
    """

    def __init__(self, run: TuneRun, limit: int, line: str, kill: Callable[[], None]) -> None:
        super().__init__(run, 1)
        self._limit = limit
        self._line = line
        self._kill = kill

    def _train(self, trial: Any) -> None:
        self._kill()
        if oom_memory._images(trial.config) < self._limit:
            super()._train(trial)
            return
        text = f"torch.OutOfMemoryError: CUDA out of memory\n{self._line}"
        trial.handle_error(RayTaskError("train", f"Traceback\n{text}", RuntimeError(text)))
        controller: Any = self
        self.scheduler.on_trial_error(controller, trial)
        if trial.should_recover():
            trial.set_status(Trial.PENDING)
            return
        for callback in self._callbacks:
            callback.on_trial_error(0, list[Trial](self._trials), trial)
        trial.set_status(Trial.ERROR)
        self.search_alg.on_trial_complete(trial.trial_id, error=True)


class Machine:
    """Runs sweeps of this process on a small device.

    Args:
        monkeypatch: The test's fixture.
        directory: An empty directory for the sweeps and the user's file.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.directory = directory
        self.file = MemoryFile(directory / "memory.jsonl")
        self.nodes: list[dict[str, float]] = [{"CPU": 8.0}]
        monkeypatch.setenv("TUNE_SWEEPS_MEMORY", str(self.file.path))
        monkeypatch.setattr(oom_memory, "machines", lambda: self.nodes)
        monkeypatch.setattr(oom_memory, "name_machine", lambda: DEVICE)
        monkeypatch.setattr(
            ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in self.nodes]
        )
        monkeypatch.setattr(storage, "_get_ray_train_session_dir", lambda: str(directory))
        fake_driver.install(monkeypatch, slots=1)
        self._monkeypatch = monkeypatch

    def run(
        self,
        name: str,
        limit: int,
        line: str = ALONE,
        kill: Callable[[], None] = lambda: None,
        sections: dict[str, Any] | None = None,
        **failure: Any,
    ) -> list[TrialRecord]:
        """Runs a sweep to its end, or resumes it; returns its trials in order."""

        def fit(run: TuneRun) -> None:
            device = SmallDevice(run, limit, line, kill)
            device.run()
            self.configs = {trial.trial_id: trial.config for trial in device.get_trials()}

        self._monkeypatch.setattr(TuneRun, "_fit", fit)
        directory = self.directory / name
        if directory.exists():
            resume(directory / "sweep")
        else:
            directory.mkdir()
            tune = {"search_alg": "grid", "max_concurrent_trials": 1}
            settings = sections or {"tune": tune, "space": SPACE}
            start(new_spec(directory, **settings, failure=failure))
        return SweepLayout(directory / "sweep").read_trials()

    def facts(self) -> list[MemoryFact]:
        facts, damaged = self.file.read()
        assert damaged == 0
        return facts

    def logged(self, name: str) -> list[dict[str, Any]]:
        """Returns the facts in a sweep's log."""
        log = EventLog(SweepLayout(self.directory / name / "sweep").events_file)
        return [event.memory or {} for event in log.read() if event.kind == "memory"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def parts(trials: list[TrialRecord]) -> list[Any]:
    return [trial.changes.get("training.accumulation_steps") for trial in trials]


def causes(trials: list[TrialRecord]) -> list[list[str]]:
    return [[failure.cause for failure in trial.failures] for trial in trials]


def test_a_sweep_that_never_runs_out_of_memory_remembers_and_changes_nothing(
    machine: Machine,
) -> None:
    trials = machine.run("a", limit=10**6)
    assert [trial.state for trial in trials] == ["finished"] * 4
    assert parts(trials) == [None] * 4
    assert machine.logged("a") == []
    assert not machine.file.path.exists()


def test_a_size_fails_once_and_later_trials_and_sweeps_start_with_smaller_parts(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = machine.run("a", limit=100)
    assert [trial.state for trial in trials] == ["finished"] * 4
    assert causes(trials) == [[], ["oom", "oom"], [], []]  # alone, then with halves
    assert parts(trials) == [None, 2, 4, None]  # 64, 2 x 64, 4 x 64, 33 images
    (fact,) = machine.facts()
    assert machine.logged("a") == [asdict(fact)]
    assert (fact.outcome, fact.images, fact.device, fact.share) == ("failed", 128, DEVICE, 1.0)
    assert (fact.model, fact.trial) == ("resnet20", trials[1].id)
    line = f"trial {trials[2].id} runs its batches of 256 in parts of 64, because "
    (printed,) = [text for text in capsys.readouterr().out.splitlines() if line in text]
    assert f"128 images at once ran out of memory on {DEVICE} in trial {fact.trial} " in printed
    assert "failure.oom_memory: false" in printed
    assert f"rm {machine.file.path})" in printed

    later = machine.run("b", limit=100)
    assert causes(later) == [[], [], [], []]
    assert parts(later) == [None, 2, 4, None]
    assert machine.facts() == [fact]
    assert machine.logged("b") == [asdict(fact)]

    assert parts(machine.run("c", limit=10**6, oom_memory=False)) == [None] * 4
    assert machine.logged("c") == []


@pytest.mark.parametrize("oom", ["exclusive_then_halve_batch", "give_up"])
def test_a_recipient_of_pbt_does_not_repeat_a_size_that_ran_out_of_memory(
    oom: str, machine: Machine
) -> None:
    pbt = {"name": "pbt", "perturbation_interval": 1, "quantile_fraction": 0.5}
    sizes = {"choice": [32, 64, 128, 256]}
    space = {VALUE: {"loguniform": [1e-3, 1.0]}, "training.batch_size": sizes}
    tune = {"num_samples": 6, "scheduler": pbt, "seed": 3}
    trials = machine.run("a", limit=100, sections={"tune": tune, "space": space}, oom=oom)
    epochs = {failure.epoch for trial in trials for failure in trial.failures}
    assert epochs == {0}  # sizes of the start, before anything was remembered
    spec, _ = open_sweep(machine.directory / "a" / "sweep")
    recipients = [trial for trial in trials if trial.lineage]
    assert recipients
    for trial in recipients:
        assert trial.state == "finished"
        config = machine.configs[trial.id]
        assert read_batches(config) == read_batches(trial.config(spec).to_dict())
        assert read_batches(config)[0] == trial.current["training.batch_size"]
        assert (config[SETTINGS]["cpu"] == 1) == (not trial.failures)  # others have run alone
    split = [trial for trial in recipients if "training.accumulation_steps" in trial.changes]
    assert bool(split) == (oom != "give_up")


def test_with_give_up_such_trials_are_skipped_and_the_searcher_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[tuple[int, bool]] = []
    note = TuneRun._build_source

    def build(run: TuneRun, *arguments: Any) -> Any:
        source = note(run, *arguments)
        tell = source._planner.on_trial_end

        def on_trial_end(record: TrialRecord, records: Any, *, failed: bool) -> None:
            ends.append((record.number, failed))
            tell(record, records, failed=failed)

        monkeypatch.setattr(source._planner, "on_trial_end", on_trial_end)
        return source

    monkeypatch.setattr(TuneRun, "_build_source", build)
    trials = machine.run("a", limit=100, oom="give_up")
    assert [trial.state for trial in trials] == ["finished", "failed", "failed", "finished"]
    assert ends == [(0, False), (1, True), (2, True), (3, False)]
    ran, skipped = trials[1], trials[2]
    assert (ran.started is None, skipped.started is None) == (False, True)
    (failure,) = skipped.failures
    assert failure.cause == "oom"
    assert failure.message.startswith("skipped, because 128 images at once ran out of memory")
    assert skipped.ended is not None
    assert SweepLayout(machine.directory / "a" / "sweep").read_sweep().state == "finished"
    # A resume of the finished sweep leaves it as it is.
    assert machine.run("a", limit=100) == trials


@pytest.mark.parametrize(
    ("share", "added", "oom", "state", "changes"),
    [
        (1.0, False, "give_up", "failed", {}),
        (1.0, True, "give_up", "pending", {}),  # the user wants to see it tried
        (1.0, True, "exclusive_then_halve_batch", "pending", HALVES),
        (None, False, "exclusive_then_halve_batch", "pending", {}),  # trials share a process
    ],
)
def test_which_trials_it_concerns(
    share: float | None, added: bool, oom: Any, state: str, changes: dict[str, int], tmp_path: Path
) -> None:
    config = new_spec(tmp_path, {"num_samples": 1}).training.to_dict()  # batches of 128
    file = MemoryFile(tmp_path / "memory.jsonl")
    file.append(
        MemoryFact("failed", setting_of(config), "resnet20", DEVICE, 1.0, 100, "a", "1", now())
    )
    events: list[Event] = []
    policy = FailurePolicy(oom=oom)
    memory = OomMemory(policy, "b", share, events.append, lambda reported: DEVICE, file=file)
    record = TrialRecord("2", 0, "trial", {}, added=added)
    assert memory.prepare(record, config) == bool(changes)
    assert (record.state, record.changes) == (state, changes)
    failure = Failure("oom", "", ALONE, epoch=0, checkpoint=None, time=now())
    running = {**config, "_trial": {"gpu": 0}}
    memory.note_failure("2", running, failure)
    retried = memory.shrink(running)  # after a change of the batch size, as PBT makes it
    assert retried["training"]["accumulation_steps"] == (1 if share is None else 2)
    assert len(file.read()[0]) == 1
    assert len(events) == (0 if share is None else 1)


def test_a_success_raises_the_bound(machine: Machine) -> None:
    machine.run("a", limit=100)
    (fact,) = machine.facts()
    machine.file.append(replace(fact, images=64))
    trials = machine.run("b", limit=300, oom_memory=False)
    assert len(machine.facts()) == 2
    # 64 images complete where the file says that they fail, because no smaller part is left.
    machine.file.path.unlink()
    machine.file.append(replace(fact, images=2))
    trials = machine.run("c", limit=300)
    assert parts(trials)[0] == 32  # of 2 images each
    completed = machine.facts()[-1]
    assert (completed.outcome, completed.images) == ("completed", 2)
    assert completed.trial == trials[0].id
    assert parts(trials)[1:] == [None, None, None]
    assert [fact["outcome"] for fact in machine.logged("c")] == ["failed", "completed"]


@pytest.mark.parametrize(
    ("line", "nodes"),
    [
        (BUSY, 1),  # other processes use the device
        (BUSY_GPU, 1),
        ("", 1),  # killed by Ray's monitor: the worker said nothing
        (ALONE, 2),  # another machine may have more memory
    ],
)
def test_a_failure_that_says_nothing_of_other_trials_has_no_effect(
    line: str, nodes: int, machine: Machine
) -> None:
    machine.nodes *= nodes
    trials = machine.run("a", limit=100, line=line)
    assert causes(trials) == [[], ["oom"] * 2, ["oom"] * 3, []]  # 128 images at least
    assert parts(trials) == [None, 2, 2, None]
    if nodes == 1:
        assert machine.facts() == []


def test_facts_of_another_gpu_or_model_are_not_used(machine: Machine) -> None:
    machine.run("a", limit=100)
    (fact,) = machine.facts()
    machine.file.path.unlink()
    machine.file.append(replace(fact, device="cpu (4.0 GiB)"))
    machine.file.append(replace(fact, model="vgg11"))
    machine.file.append(replace(fact, setting="0" * 16))
    assert parts(machine.run("b", limit=10**6)) == [None] * 4
    assert machine.logged("b") == []


class Killed(BaseException):
    """Ends the driver like a kill: Tune does not catch it."""


def killing(epochs: int) -> Callable[[], None]:
    left = iter(range(epochs))

    def kill() -> None:
        if next(left, None) is None:
            raise Killed

    return kill


@pytest.mark.parametrize("epochs", [5, 6, 11])
def test_a_resumed_sweep_decides_alike_without_the_users_file(
    epochs: int, machine: Machine
) -> None:
    whole = machine.run("a", limit=100)
    machine.file.path.unlink()
    with pytest.raises(Killed):
        machine.run("b", limit=100, kill=killing(epochs))
    machine.file.path.unlink(missing_ok=True)
    resumed = machine.run("b", limit=100)
    assert parts(resumed) == parts(whole)
    assert [trial.state for trial in resumed] == [trial.state for trial in whole]
    assert [fact["images"] for fact in machine.logged("b")] == [128]


def test_a_resumed_sweep_does_not_take_over_what_others_have_learned_since(
    machine: Machine,
) -> None:
    with pytest.raises(Killed):
        machine.run("a", limit=10**6, kill=killing(2))  # in its first trial
    machine.run("b", limit=100)
    assert len(machine.facts()) == 1
    assert parts(machine.run("a", limit=10**6)) == [None] * 4


def test_the_facts_of_the_users_file_are_in_the_log_before_they_are_needed(
    machine: Machine,
) -> None:
    machine.run("a", limit=100)
    with pytest.raises(Killed):
        machine.run("b", limit=100, kill=killing(2))  # the trial of 64 images
    machine.file.path.unlink()
    trials = machine.run("b", limit=100)
    assert (causes(trials), parts(trials)) == ([[], [], [], []], [None, 2, 4, None])


def test_a_file_that_cannot_be_written_is_noted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine.directory / "file").touch()
    monkeypatch.setenv("TUNE_SWEEPS_MEMORY", str(machine.directory / "file" / "memory.jsonl"))
    assert parts(machine.run("a", limit=100)) == [None, 2, 4, None]
    assert "memory.jsonl cannot be written (" in capsys.readouterr().out


def test_damaged_lines_are_noted(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.file.path.write_text("not JSON\n")
    machine.run("a", limit=10**6)
    note = f"note: {machine.file.path}: lines that cannot be read: 1"
    assert note in capsys.readouterr().out


def test_a_sweep_that_is_resumed_on_another_machine_forgets_the_first_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        machine.run("a", limit=100, kill=killing(8))  # the second trial has halved batches
    assert len(machine.logged("a")) == 1
    monkeypatch.setattr(oom_memory, "name_machine", lambda: "cpu (64.0 GiB)")
    assert parts(machine.run("a", limit=10**6))[2:] == [None, None]


def test_a_replayed_scheduler_is_not_given_such_events(machine: Machine) -> None:
    trials = machine.run("a", limit=100)
    layout = SweepLayout(machine.directory / "a" / "sweep")
    kinds = [event.kind for event in EventLog(layout.events_file).read()]
    assert kinds.count("memory") == 1
    assert kinds.count("add") == kinds.count("complete") == 4
    assert machine.run("a", limit=100) == trials
    assert Event("memory", trial="").trial not in {trial.id for trial in trials}


def test_a_worker_describes_its_device_as_the_driver_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainable.training.device.usable_share", lambda: 0.75)
    with pytest.raises(MemoryError) as caught, naming_device(0):
        raise MemoryError
    line = DEVICE_LINE.search("Traceback\n  ...\nMemoryError\n" + caught.value.__notes__[0])
    assert line is not None
    assert re.fullmatch(r"cpu \(\d+\.\d GiB\)", line["device"])
    assert (line["share"], line["usable"]) == ("100", "75")
    with pytest.raises(RuntimeError) as other, naming_device(0):
        raise RuntimeError("shapes do not fit")
    assert not hasattr(other.value, "__notes__")


def test_a_share_of_a_gpu_is_as_exact_as_the_search_file_has_it(tmp_path: Path) -> None:
    config = new_spec(tmp_path, {"num_samples": 1}).training.to_dict()
    events: list[Event] = []
    file = MemoryFile(tmp_path / "memory.jsonl")
    memory = OomMemory(
        FailurePolicy(), "a", 1 / 3, events.append, lambda device: "A (8.0 GiB)", file=file
    )
    line = "on A (8.0 GiB), of which this process may use 33.33 % and could use 33.33 %"
    failure = Failure("oom", "", line, epoch=0, checkpoint=None, time=now())
    memory.note_failure("1", {**config, "_trial": {"gpu": 1 / 3}}, failure)
    record = TrialRecord("2", 1, "trial", {})
    assert memory.prepare(record, config)
    assert record.changes == HALVES


@pytest.mark.parametrize(
    ("nodes", "gpu", "reported", "expected"),
    [
        ([{"CPU": 1.0}], 0.0, None, "local"),
        ([{"CPU": 1.0}, {"CPU": 1.0}], 0.0, None, None),
        ([{"accelerator_type:A": 1.0}, {"accelerator_type:A": 1.0}], 0.5, "A (8.0 GiB)", "A"),
        ([{"accelerator_type:A": 1.0}, {"accelerator_type:B": 1.0}], 0.5, "A (8.0 GiB)", None),
        ([{"accelerator_type:A": 1.0}], 0.5, None, "asked"),
        ([{"accelerator_type:A": 0.0}], 1.0, None, None),  # all GPUs are in use
        ([{"accelerator_type:A": 0.5}] * 2, 0.5, None, None),  # half of each: none for the task
        ([{"accelerator_type:A": 2.0}], 0.5, None, None),  # the GPU has no memory left
    ],
)
def test_the_device_is_known_only_where_all_are_of_one_kind(
    nodes: list[dict[str, float]],
    gpu: float,
    reported: str | None,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_on_gpu(function: Callable[[], str], timeout_s: float) -> str:
        assert timeout_s == 60
        if len(nodes) > 1:
            raise GetTimeoutError
        if free["GPU"] == 2:
            raise RuntimeError("CUDA error: out of memory")
        return "asked"

    free = {"GPU": sum(node.get("accelerator_type:A", 0.0) for node in nodes)}
    monkeypatch.setattr(oom_memory, "machines", lambda: nodes)
    monkeypatch.setattr(oom_memory, "name_machine", lambda: "local")
    monkeypatch.setattr(oom_memory, "run_on_gpu", run_on_gpu)
    monkeypatch.setattr(ray, "available_resources", lambda: free)
    device = partial(oom_memory.find_device, {"cpu": 1.0, "gpu": gpu})(reported)
    assert (device or "").partition(" ")[0] == (expected or "")
