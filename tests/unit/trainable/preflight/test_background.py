"""The slow checks in a process of their own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainable.config import TrainConfig
from trainable.preflight.background import BackgroundCheck, Options, Verdict

MakeConfig = Callable[..., TrainConfig]

SCRIPT = """\
import sys
from trainable.config import load_config
from trainable.preflight.background import BackgroundCheck, Options

configs = [load_config(path) for path in sys.argv[1:]]
check = BackgroundCheck(configs, Options(allow_custom_model=True))
for problems in check.result().problems:
    print([problem.rule for problem in problems])
print(sorted({"torch"} & set(sys.modules)))
"""

CONFIG = """\
dataset: {name: digits}
model: {name: "own_of_this_test:%s"}
training: {epochs: 1}
optimizer: {name: sgd, learning_rate: 0.1}
"""

MODULE = """\
import os
from tests.support.tiny_models import mlp

def prints(num_classes, in_channels):
    print("to standard output")
    return mlp(num_classes, in_channels)

def crashes(num_classes, in_channels):
    os._exit(7)
"""


@pytest.mark.slow
def test_own_code_runs_in_a_process_of_its_own(
    project_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "own_of_this_test.py").write_text(MODULE)
    outputs = []
    for name in ("prints", "crashes"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(CONFIG % name)
        paths = f"{project_environment['PYTHONPATH']}:{tmp_path}"
        (tmp_path / "script.py").write_text(SCRIPT)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "script.py"), str(path)],
            env={**project_environment, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout.splitlines())
    assert outputs[0] == ["[]", "[]"]
    assert "has ended with exit code 7" in outputs[1][0]


def test_where_torch_is_loaded_the_checks_are_made_at_once(tiny_config: MakeConfig) -> None:
    wrong = tiny_config(model={"name": "tests.support.wrong_models:frozen"})
    check = BackgroundCheck([tiny_config(), wrong], Options(allow_custom_model=True))
    good, bad = check.result().problems
    assert good == []
    assert "can be trained" in bad[0].rule
    check.cancel()


def test_nothing_to_check_needs_no_process() -> None:
    assert BackgroundCheck([], Options(allow_custom_model=True)).result() == Verdict([])
