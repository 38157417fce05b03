"""Makes the slow checks while the caller does something else.

They may import torch (seconds) and run code of the user's, which can crash, hang or print. So
they have a process of their own. In a process that has imported torch already they are made there,
which takes milliseconds, unless the session is interactive: it may hold an older version of that
code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trainable.config import TrainConfig
from trainable.config.own_code import add_code_directories, code_directories
from trainable.errors import Problem
from trainable.preflight.checks import Checker
from trainable.preflight.paths import check_inputs

TIMEOUT_S = 300
"""Longest time for the checks; after that the sweep starts without them."""

ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Options:
    """How thorough the checks are; see `Checker`."""

    allow_custom_model: bool
    with_torch: bool = True
    decode_all: bool = False


@dataclass(frozen=True)
class Verdict:
    """The result of the checks."""

    problems: list[list[Problem]]
    """One list per config."""
    notices: list[str] = field(default_factory=list)
    """Lines for the user: on the images, or why there is no result."""


def check_here(configs: Sequence[TrainConfig], options: Options) -> Verdict:
    """Makes the checks in this process."""
    checker = Checker(**asdict(options))
    return Verdict([checker.slow_problems(config) for config in configs], checker.notices)


def check_elsewhere(
    configs: Sequence[TrainConfig], options: Options, directories: Sequence[str]
) -> Verdict:
    """Makes the checks of files and the slow ones, in a process of the machine with the files.

    Args:
        configs: The configs.
        options: How thorough the checks are.
        directories: Where code of the user's is imported from.
    """
    add_code_directories(directories)
    checker = Checker(**asdict(options))
    problems = [[*check_inputs(config), *checker.slow_problems(config)] for config in configs]
    return Verdict(problems, checker.notices)


class BackgroundCheck:
    """Checks configs in the background from its creation on.

    Args:
        configs: The configs.
        options: How thorough the checks are.
    """

    def __init__(self, configs: Sequence[TrainConfig], options: Options) -> None:
        self._configs = configs
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._verdict: Future[Verdict] | None = None
        is_interactive = not hasattr(sys.modules["__main__"], "__file__")
        if configs and (is_interactive or "torch" not in sys.modules):
            self._start_process()

    def result(self) -> Verdict:
        """Waits for the result and returns it."""
        if self._verdict is not None:
            return self._verdict.result()
        return check_here(self._configs, self._options)

    def cancel(self) -> None:
        """Ends the checks without a result."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _start_process(self) -> None:
        paths = [ROOT, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainable.preflight"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        pool = ThreadPoolExecutor(1)
        self._verdict = pool.submit(self._communicate, self._process)
        pool.shutdown(wait=False)

    def _communicate(self, process: subprocess.Popen[bytes]) -> Verdict:
        request = {
            "configs": [config.to_dict() for config in self._configs],
            "options": asdict(self._options),
            "directories": code_directories(),
            "path": sys.path,
        }
        try:
            output, errors = process.communicate(json.dumps(request).encode(), TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            text = f"the checks of the model and the data took over {TIMEOUT_S} s"
            return Verdict([], [f"{text}; the sweep starts without them"])
        if process.returncode:
            return self._explain_crash(process.returncode, errors.decode(errors="replace"))
        plain = json.loads(output)
        problems = [[Problem(key, rule) for key, rule in listed] for listed in plain["problems"]]
        return Verdict(problems, plain["notices"])

    def _explain_crash(self, code: int, errors: str) -> Verdict:
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        last = f": {lines[-1]}" if lines else ""
        rule = f"the process that checks the model and the data has ended with {ending}{last}"
        return Verdict([[Problem("", rule)] for _ in self._configs])
