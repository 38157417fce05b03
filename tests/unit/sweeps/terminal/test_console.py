"""Printing to the terminal: plain lines, errors, JSON, and URIs for paths of a mirror."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.terminal import console

ROOT = Path(__file__).parents[4]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_uris", {})


def test_a_long_line_is_printed_as_it_is(capsys: Capture) -> None:
    text = "best: [bold]trial 3[/bold] " + "x" * 300
    console.print_line(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_an_error_goes_to_standard_error(capsys: Capture) -> None:
    console.print_error("no such file")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no such file\n")


def test_json_is_one_line_without_nan(capsys: Capture) -> None:
    console.print_json({"loss": float("nan"), "path": Path("a"), "name": "x" * 300})
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"loss": None, "path": "a", "name": "x" * 300}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see {}/a/b.csv.", "see s3://bucket/sweep/a/b.csv."),
        ("{}", "s3://bucket/sweep"),
        ("{}/", "s3://bucket/sweep"),
        ('"{}/a", {}/b: c', '"s3://bucket/sweep/a", s3://bucket/sweep/b: c'),
        ("{}_2/a", "{}_2/a"),
        ("{}/a&b", "'s3://bucket/sweep/a&b'"),
    ],
)
def test_paths_of_a_mirror_are_printed_as_uris(
    tmp_path: Path, capsys: Capture, text: str, shown: str
) -> None:
    mirror = tmp_path / "mirror"
    console.show_as_uri(mirror, lambda name: f"s3://bucket/sweep/{name}".rstrip("/"))
    console.print_line(text.replace("{}", str(mirror)))
    assert capsys.readouterr().out == shown.replace("{}", str(mirror)) + "\n"


def test_a_closed_pipe_ends_the_output_and_not_the_process(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom sweeps.terminal.console import print_line\n"
        "for _ in range(3):\n    print_line('x' * 100_000)\nPath(sys.argv[1]).touch()\n"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-c", script, str(tmp_path / "reached")]
    subprocess.run(command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, check=True)
    os.close(write_end)
    assert (tmp_path / "reached").exists()


def test_output_of_ray_is_off_until_it_is_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_ray_output_enabled", False)
    assert not console.ray_output_enabled()
    console.enable_ray_output(True)
    assert console.ray_output_enabled()
