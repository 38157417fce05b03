"""The example of an own data set works as it is typed in the documentation."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trainable.config import TrainConfig
from trainable.experiment.fit import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "training_config.md"
HEADING = "### `dataset` with `name: module:callable`"


def test_the_example_trains(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_config: Callable[..., TrainConfig],
    run_fit: Callable[..., Outcome],
) -> None:
    section = PAGE.read_text(encoding="utf-8").partition(HEADING)[2]
    match = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    name = re.search(r"`dataset: \{name: (\S+), args: \{noise: 20\}\}`", section)
    assert match is not None
    assert name is not None
    assert len([line for line in match[1].splitlines() if line]) <= 18
    (tmp_path / "my_data.py").write_text(match[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    outcome = run_fit(
        tiny_config(
            dataset={"name": name[1], "args": {"noise": 20}, "num_workers": 0, "val_split": None},
            training={"epochs": 2, "batch_size": 64},
        )
    )
    assert outcome.rows[-1]["test_acc"] > 0.6
