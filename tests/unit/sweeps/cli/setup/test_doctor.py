"""`sweep doctor`: its lines, JSON and exit codes, and what it must not load."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.doctor import diagnosis
from sweeps.doctor.check import Check, mask
from tests.unit.sweeps.cli.test_main import invoke

CHECKS = [
    Check("GPUs", "ok", "none"),
    Check("proxy", "warning", "HTTP_PROXY=...", "export no_proxy=localhost"),
]


def test_each_line_has_the_check_what_was_found_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sweeps.doctor.diagnosis.diagnose", lambda directory: iter(CHECKS))
    result = invoke("doctor")
    assert result.stdout.splitlines() == [
        "ok       GPUs   none",
        "warning  proxy  HTTP_PROXY=...",
        "                > export no_proxy=localhost",
    ]
    assert result.exit_code == 0
    assert json.loads(invoke("doctor", "--json").stdout)[1] == {
        "name": "proxy",
        "state": "warning",
        "found": "HTTP_PROXY=...",
        "remedy": "export no_proxy=localhost",
    }


def test_it_exits_with_1_if_no_sweep_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Check("limits", "problem", "too low", "ulimit -n 4096")
    monkeypatch.setattr(
        "sweeps.doctor.diagnosis.diagnose", lambda directory: iter([*CHECKS, problem])
    )
    assert invoke("doctor").exit_code == 1
    assert invoke("doctor", "--nonsense").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Path("experiments")),
        (["--dir", "other"], Path("other")),
        (["experiments/digits"], Path("experiments/digits")),
        (["s3://bucket/sweeps"], None),
    ],
)
def test_the_place_that_is_looked_at(
    arguments: list[str], expected: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path | None] = []

    def diagnose(directory: Path | None) -> list[Check]:
        places.append(directory)
        return CHECKS

    monkeypatch.setattr("sweeps.doctor.diagnosis.diagnose", diagnose)
    assert invoke("doctor", *arguments).exit_code == 0
    assert places == [expected]


def test_it_loads_neither_torch_nor_ray_and_leaves_no_file(working_directory: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sweeps.doctor.diagnosis import diagnose\n"
        "names = {check.name for check in diagnose(Path('experiments'))}\n"
        "assert {'versions', 'GPUs', 'torch', 'memory', 'file system'} <= names, names\n"
        "assert not {'torch', 'ray', 'optuna'} & set(sys.modules)\n"
    )
    root = Path(diagnosis.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{script}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(working_directory.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("HF_TOKEN", "abc", "***"),
        ("https_proxy", "http://me:pw@host:1", "http://***@host:1"),
        ("https_proxy", "http://me:p/w@host", "http://***@host"),
        ("https_proxy", "http://me:p@s s//w@host", "http://***@host"),
        ("https_proxy", "me:pa@ss/w@host:1", "***@host:1"),
        ("https_proxy", "http://host:1/x", "http://host:1/x"),
        ("RAY_ADDRESS", "host:6379", "host:6379"),
    ],
)
def test_secrets_are_masked(name: str, value: str, shown: str) -> None:
    assert mask(name, value) == shown
