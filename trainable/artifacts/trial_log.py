"""`trial.log`: everything that a trial prints while it trains. Loads neither torch nor Ray."""

from __future__ import annotations

import codecs
import io
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

from trainable.artifacts.metrics import ACCURACY, monitor_of, more_scores

T = TypeVar("T")
Step = TypeVar("Step")


def epoch_line(row: Mapping[str, Any], epochs: int, *, improved: bool) -> str:
    """Formats an epoch's metrics as one line for the log and the terminal.

    Args:
        row: The epoch's metrics.
        epochs: Number of epochs of the whole training.
        improved: Whether it is the best so far.
    """
    test = "" if row["test_acc"] is None else f"  test_acc {row['test_acc']:.4f}"
    best = monitor_of(row) if improved else None
    scores = (
        f"  {name} {row[name]:.4f}{' (best so far)' * (name == best)}"
        for name in ("val_loss", ACCURACY, *more_scores(row))
        if row[name] is not None
    )
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  train_loss {row['train_loss']:.4f}  train_acc {row['train_acc']:.4f}"
        f"{''.join(scores)}{test}"
        f"  lr {row['lr']:.3g}  {row['images_per_s']:.0f} images/s"
    )


def replace_unencodable() -> None:
    """Has characters that the terminal's encoding lacks printed as `?` instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            if stream.errors == "strict" or not is_utf8:  # UTF-8 has surrogateescape in LANG=C
                stream.reconfigure(errors="replace")


class _Stream:
    """Forwards to the file that is current.

    A model or a logging handler may keep the object it reads from `sys.stderr`. A process trains
    one trial after another, so such an object must not end with the first trial's file.
    """

    target: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


_OUT: Any = _Stream()
_ERR: Any = _Stream()


class TrialLog:
    """Appends to the log of one trial.

    Args:
        path: The log file; None keeps no log and leaves all output where it is.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Captures all output, and the traceback of a failure.

        Every line is in the file as soon as it is printed.
        """
        with self._open() as capture, capture:
            yield

    def capture_steps(self, steps: Generator[Step, None, T]) -> Generator[Step, None, T]:
        """Captures the output of a generator's steps, but not what is printed between them."""
        with self._open() as capture:
            while True:
                with capture:
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        result: T = end.value
                        return result
                yield step

    @contextmanager
    def _open(self) -> Iterator[_Capture]:
        if self._path is None:
            yield _Capture(self, None)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        ) as file:
            yield _Capture(self, file)

    def set_file(self, file: TextIO | None) -> None:
        """Sets the open file that `write` adds lines to; None ends that."""
        self._file = file

    def write(self, text: str) -> None:
        """Adds a line while output is captured; otherwise does nothing."""
        if self._file is not None:
            print(text, file=self._file)

    def write_header(self) -> None:
        """Adds a line with the time, the machine and the GPUs that this process may use."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
        machine = f"{platform.node()}, GPU {gpus}" if gpus else platform.node()
        self.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} on {machine}")


class _Capture:
    """Redirects stdout and stderr to an open log inside `with`; can be entered repeatedly.

    It assigns plain variables, because it is entered for every step of a trial that shares its
    process.

    Args:
        log: The log whose own lines go to the file as well.
        file: The open log file; None redirects nothing.
    """

    def __init__(self, log: TrialLog, file: TextIO | None) -> None:
        self._log = log
        self._file = file
        self._outside: tuple[Any, Any] = (None, None)

    def __enter__(self) -> None:
        if self._file is None:
            return
        self._log.set_file(self._file)
        self._outside = sys.stdout, sys.stderr
        _OUT.target = _ERR.target = self._file
        sys.stdout, sys.stderr = _OUT, _ERR

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        sys.stdout, sys.stderr = _OUT.target, _ERR.target = self._outside
        self._log.set_file(None)
        if isinstance(error, Exception):
            with suppress(OSError):  # the failure itself may be a full disk
                traceback.print_exception(error, file=self._file)
