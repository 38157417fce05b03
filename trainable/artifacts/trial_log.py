"""`trial.log`: all that a trial's process prints while it trains. Needs neither torch nor Ray."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

LOG_FILE = "trial.log"

T = TypeVar("T")
Step = TypeVar("Step")


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

    A model or a logging handler may keep the object that it finds as `sys.stderr`; a process
    trains one trial after the other, and a file that was closed with the first would fail the
    second.
    """

    now: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


_OUT: Any = _Stream()
_ERR: Any = _Stream()


class TrialLog:
    """Appends to the log of one trial.

    Args:
        path: The file; None where no log is kept, then all output goes where it always goes.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Captures all that is printed, and the traceback of a failure.

        Every line is in the file as soon as it is printed.
        """
        with self._opened() as capture, capture:
            yield

    def capturing_steps(self, steps: Generator[Step, None, T]) -> Generator[Step, None, T]:
        """Captures what a piece of work prints in its own steps, not in between."""
        with self._opened() as capture:
            while True:
                with capture:
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        result: T = end.value
                        return result
                yield step

    @contextmanager
    def _opened(self) -> Iterator[_Capture]:
        if self._path is None:
            yield _Capture(self, None)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        ) as file:
            yield _Capture(self, file)

    def use(self, file: TextIO | None) -> None:
        """Sets where `say` adds its lines."""
        self._file = file

    def say(self, text: str) -> None:
        """Adds a line while output is captured; otherwise does nothing."""
        if self._file is not None:
            print(text, file=self._file)

    def say_where(self) -> None:
        """Adds a line with the time, the machine and the GPUs that this process may use."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
        where = f"{platform.node()}, card {gpus}" if gpus else platform.node()
        self.say(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} on {where}")


class _Capture:
    """Redirects stdout and stderr to an open log while it is entered; may be entered repeatedly.

    Plain assignments: this happens around every step of a trial that shares its process.

    Args:
        log: Told the file for its own lines.
        file: The open log; None to redirect nothing.
    """

    def __init__(self, log: TrialLog, file: TextIO | None) -> None:
        self._log = log
        self._file = file
        self._outside: tuple[Any, Any] = (None, None)

    def __enter__(self) -> None:
        if self._file is None:
            return
        self._log.use(self._file)
        self._outside = sys.stdout, sys.stderr
        _OUT.now = _ERR.now = self._file
        sys.stdout, sys.stderr = _OUT, _ERR

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        sys.stdout, sys.stderr = _OUT.now, _ERR.now = self._outside
        self._log.use(None)
        if isinstance(error, Exception):
            with suppress(OSError):  # a full disk, which may be the failure itself
                traceback.print_exception(error, file=self._file)
