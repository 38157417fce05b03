"""`trial.log`: what a trial's process says while it trains. Needs neither torch nor Ray."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

LOG_FILE = "trial.log"

T = TypeVar("T")


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """An epoch's metrics on one line, for a log and for the terminal.

    Args:
        row: The metrics.
        epochs: How many epochs there are to be.
    """
    test = "" if row["test_acc"] is None else f"  test_acc {row['test_acc']:.4f}"
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  train_loss {row['train_loss']:.4f}  train_acc {row['train_acc']:.4f}"
        f"  val_loss {row['val_loss']:.4f}  val_acc {row['val_acc']:.4f}{test}"
        f"  lr {row['lr']:.3g}  {row['images_per_s']:.0f} images/s"
    )


class _Stream:
    """Stands for a stream of the process, whichever that is at the moment.

    A model or a logging handler may keep what it finds as `sys.stderr`; a process trains one
    trial after the other, and a file that was closed with the first would fail the second.
    """

    now: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


_OUT, _ERR = _Stream(), _Stream()


class TrialLog:
    """Appends to the log of one trial.

    Args:
        path: Of the log; None where none is kept, then everything goes where it always goes.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Takes in what is printed, and why it fails if it does.

        Every line is in the file as soon as it is printed.
        """
        with self._opened() as file, self._catching(file):
            yield

    def capturing_steps(self, steps: Generator[int, None, T]) -> Generator[int, None, T]:
        """Takes in what a piece of work prints in its own steps, not in between."""
        with self._opened() as file:
            while True:
                with self._catching(file):
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        result: T = end.value
                        return result
                yield step

    @contextmanager
    def _opened(self) -> Iterator[TextIO | None]:
        if self._path is None:
            yield None
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        ) as file:
            yield file

    @contextmanager
    def _catching(self, file: TextIO | None) -> Iterator[None]:
        if file is None:
            yield
            return
        try:
            self._file = file
            with _into(file):
                yield
        except Exception:
            with suppress(OSError):  # of a full disk, which may be what has failed
                traceback.print_exc(file=file)
            raise
        finally:
            self._file = None

    def say(self, text: str) -> None:
        """Adds a line, while it captures."""
        if self._file is not None:
            print(text, file=self._file)

    def say_where(self) -> None:
        """Adds a line with the time, the machine and the cards that this process may use."""
        cards = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
        where = f"{platform.node()}, card {cards}" if cards else platform.node()
        self.say(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} on {where}")


@contextmanager
def _into(file: TextIO) -> Iterator[None]:
    outside = sys.stdout, sys.stderr
    _OUT.now = _ERR.now = file
    try:
        out: Any = _OUT
        err: Any = _ERR
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        _OUT.now, _ERR.now = outside
