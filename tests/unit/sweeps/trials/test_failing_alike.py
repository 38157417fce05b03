"""Trials that fail alike: what is alike, and how many in a row pause the sweep."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sweeps.sweep_dir.event_log import Event
from sweeps.sweep_dir.records import Failure, TrialRecord
from sweeps.trials.failing_alike import RESTART, FailureStreak, failure_key

TRACE = """ray::ResourceTrainable.train() (pid=4890, ip=127.0.0.1)
  File "/usr/lib/python3.11/site-packages/ray/tune/trainable/trainable.py", line 329, in train
    raise skipped from exception_cause(skipped)
  File "/home/ada/net.py", line 12, in forward
    return self.body(x)
  File "/usr/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 134, in forward
    return F.linear(input, self.weight, self.bias)
RuntimeError: mat1 and mat2 shapes cannot be multiplied
"""


def record(message: str, traceback: str = "", cause: Any = "error", **changes: Any) -> TrialRecord:
    failure = Failure(cause, message, traceback, epoch=0, checkpoint=None, time="")
    return TrialRecord("t", 0, "t", {}, failures=[failure], changes=changes)


def test_numbers_ids_paths_and_quoted_names_make_no_difference() -> None:
    first = record(
        "RuntimeError: 64x12 and 'conv1' at 0x7f82a46f3c90 of /tmp/a/x_1cf0c03b/log, 1e-05",
        TRACE,
    )
    second = record(
        "RuntimeError: 32x13 and 'conv2' at 0x7f82a46f3c91 of /tmp/b/x_d6cd5930/log, 0.5",
        TRACE.replace("4890", "17").replace("line 12", "line 13"),
    )
    key = failure_key(first)
    assert key == failure_key(second)
    assert key is not None
    assert key.startswith("error: net.forward: RuntimeError: ")


@pytest.mark.parametrize(
    "other",
    [
        record("RuntimeError: other shapes", TRACE),
        record("ValueError: shapes", TRACE),
        record("RuntimeError: shapes", TRACE.replace("in forward", "in backward")),
        record("RuntimeError: shapes", TRACE.replace("net.py", "cnn.py")),
        record("RuntimeError: shapes", TRACE, "data"),
    ],
    ids=["message", "class", "function", "module", "cause"],
)
def test_another_message_class_place_or_cause_is_another_failure(other: TrialRecord) -> None:
    assert failure_key(record("RuntimeError: shapes", TRACE)) != failure_key(other)


def test_lost_workers_are_alike_if_ray_says_the_same_of_their_end() -> None:
    def lost(detail: str) -> str | None:
        return failure_key(record("died", f"Worker exit detail: {detail}\n", "lost_worker"))

    assert lost("killed by signal 9, pid 17") == lost("killed by signal 9, pid 4711")
    assert lost("killed by the OOM killer") != lost("connection error code 2")


def test_failures_that_say_nothing_of_other_trials_have_no_key() -> None:
    assert failure_key(record("the loss is not finite", cause="nan")) is None
    assert failure_key(record("DiskFullError", cause="disk_full")) is None
    assert failure_key(record("out of memory", cause="oom")) is None
    halved = record("out of memory", cause="oom", **{"training.accumulation_steps": 2})
    assert failure_key(halved) is not None


def events(text: str) -> list[Event]:
    """Returns events from words: `a+` begins, `a.` completes an epoch, `a:key` fails."""
    made = []
    for word in text.split():
        trial, mark, key = word[0], word[1], word[2:]
        if word == "--":
            made.append(RESTART)
        elif mark == "+":
            made.append(Event("add", trial))
        elif mark == ".":
            made.append(Event("result", trial, 1, {}, "CONTINUE"))
        else:
            made.append(Event("error", trial, failure=key or None))
    return made


@pytest.mark.parametrize(
    ("text", "trials"),
    [
        ("a+ a:x b+ b:x c+ c:x", "abc"),
        ("a+ a:x b+ b:y c+ c:x", "c"),
        ("a+ a:x b+ b: c+ c:x", "ac"),  # a loss that is not finite says nothing
        ("a+ a:x b+ b. c+ c:x", "c"),  # one that began later has trained
        ("g+ a+ a:x g. b+ b:x g. c+ c:x", "abc"),  # one that began earlier says nothing new
        ("a+ a. a:x b+ b:x", "b"),  # the first failed later than before its first epoch
        ("g+ a+ a:x g. g:x b+ b:x", "agb"),  # what failed later is counted if it is alike
        ("g+ a+ a:x g. g:y b+ b:x", "ab"),
        ("a+ a:x b+ b:x -- c+ c:x", "c"),
        ("a+ a:x a:x a:x", "a"),  # retried by command
    ],
)
def test_what_counts_as_a_streak(text: str, trials: str) -> None:
    streak = FailureStreak("never", lambda: None)
    streak.replay(events(text))
    assert "".join(streak.trials) == trials


def test_the_limit_is_reached_once_and_again_after_a_restart() -> None:
    calls: list[int] = []
    streak = FailureStreak(2, lambda: calls.append(len(streak.trials)))
    for event in events("a+ a:x b+ b:x c+ -- c:x d+ d:x"):
        streak.add(event)
    assert calls == [2, 2]


def test_a_replay_cut_anywhere_counts_as_without_a_cut() -> None:
    numbers = random.Random(0)
    words = [f"{t}{m}" for t in "abcdef" for m in ("+", ".", ":x", ":y")]
    for _ in range(200):
        log = events(" ".join(numbers.choices(words, k=20)))
        whole, resumed = FailureStreak("never", lambda: None), FailureStreak("never", lambda: None)
        for event in log:
            whole.add(event)
        cut = numbers.randrange(len(log))
        resumed.replay(log[:cut])
        for event in log[cut:]:
            resumed.add(event)
        assert (resumed.key, resumed.trials) == (whole.key, whole.trials)
