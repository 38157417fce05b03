"""Errors for users: one text with every problem of a file, which also survives pickling."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from trainable.errors import (
    ConfigError,
    DiskFullError,
    Problem,
    TuneSweepsError,
    naming_full_disk,
    summarize_exception,
    summarize_traceback,
)

PROBLEMS = [
    Problem("optimizer.lr", "must be > 0, found 0", 3),
    Problem("epochs", "required key is missing"),
    Problem("", "must be a mapping of keys, found nothing"),
]


def test_a_config_error_lists_its_problems_with_line_and_key():
    error = ConfigError("search.yaml", PROBLEMS)
    assert str(error).splitlines() == [
        "search.yaml: 3 problems",
        "  line 3: optimizer.lr: must be > 0, found 0",
        "  epochs: required key is missing",
        "  must be a mapping of keys, found nothing",
    ]
    assert isinstance(error, TuneSweepsError)


def test_one_problem_is_counted_in_the_singular():
    assert str(ConfigError("a.yaml", PROBLEMS[1:2])).startswith("a.yaml: 1 problem\n")


def test_a_config_error_is_pickled_with_its_problems():
    error = pickle.loads(pickle.dumps(ConfigError("search.yaml", PROBLEMS)))
    assert error.problems == tuple(PROBLEMS)
    assert str(error) == str(ConfigError("search.yaml", PROBLEMS))


FRAMES = """\
ray::ClassifierTrainable.train() (pid=7, ip=127.0.0.1)
  File "/v/lib/python3.11/site-packages/ray/tune/trainable/trainable.py", line 331, in train
    result = self.step()
  File "/somewhere/net.py", line 12, in forward
    return x.view(2, 3)
           ^^^^^^^^^^^^
  File "/v/lib/python3.11/site-packages/torch/nn/functional.py", line 99, in view
    return torch.view(x)
"""


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (
            f"{FRAMES}RuntimeError: shape is invalid\n",
            "RuntimeError: shape is invalid (net.py:12: return x.view(2, 3))",
        ),
        (
            f"{FRAMES}torch.OutOfMemoryError: first\n  second\n\nlast line\n",
            "OutOfMemoryError: first ... last line (net.py:12: return x.view(2, 3))",
        ),
        (f"{FRAMES}KeyError\n", "KeyError (net.py:12: return x.view(2, 3))"),
        (
            "The actor died.\n\tclass_name: X\nIts node is gone.",
            "The actor died. ... Its node is gone.",
        ),
        ("TimeoutError", "TimeoutError"),
        ("", ""),
    ],
)
def test_a_traceback_is_summarised_by_first_and_last_line_and_own_code(
    text: str, summary: str
) -> None:
    assert summarize_traceback(text) == summary


def test_an_error_in_the_syntax_of_own_code_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    source = "def net(:\n    pass\n"
    path.write_text(source)
    with pytest.raises(SyntaxError) as caught:
        compile(source, str(path), "exec")
    summary = summarize_exception(caught.value)
    assert summary.startswith("SyntaxError: ")
    assert summary.endswith("(net.py:1: def net(:)")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_a_full_disk_is_found_behind_the_error_that_a_library_made_of_it(
    number: int, reason: str
) -> None:
    @naming_full_disk(Path("here"))
    def save() -> None:
        try:
            raise OSError(number, os.strerror(number))
        finally:
            raise RuntimeError("unexpected pos 1383680 vs 1383568")

    with pytest.raises(DiskFullError, match=f"^here: {reason}$"):
        save()


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    with pytest.raises(PermissionError), naming_full_disk(Path("here")):
        raise PermissionError(errno.EACCES, "denied")
