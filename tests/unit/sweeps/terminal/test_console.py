"""Printing to the terminal: plain lines, errors, JSON, and URIs for paths of a mirror."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.terminal import console
from sweeps.terminal.formatting import make_table
from sweeps.terminal.tables import ShortenedText
from trainable.experiment.console import PlainConsole

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


HOSTILE = "a\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b2J\u202e :warning: [/x]"
SHOWN = "ared\\x1b]0;title \\x9b2J\\u202e :warning: [/x]"


def test_control_characters_are_printed_as_text(capsys: Capture) -> None:
    console.print_line(HOSTILE)
    console.print_error(HOSTILE)
    table = make_table("state", HOSTILE, title=HOSTILE.removesuffix(" [/x]"))
    table.add_row(HOSTILE, ShortenedText(HOSTILE))
    console.print_table(table)
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert [char for char in printed if not char.isprintable() and char != "\n"] == []
    assert captured.out.splitlines()[0] == captured.err.rstrip("\n") == SHOWN


def test_colours_of_a_terminal_remain() -> None:
    terminal = PlainConsole(file=io.StringIO(), force_terminal=True, color_system="standard")
    terminal.print("\x1b[2Jx", style="red", markup=False, highlight=False)
    assert terminal.file.getvalue() == "\x1b[31m\\x1b[2Jx\x1b[0m\n"  # type: ignore[attr-defined]


def test_a_table_is_never_narrower_than_its_numbers(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = make_table("epoch", "train_loss", "val_loss")
    table.add_row("1", "0.1234", "0.5678")
    console.print_table(table)
    printed = capsys.readouterr().out
    assert "0.1234" in printed
    assert "0.5678" in printed


def test_json_has_no_control_characters(capsys: Capture) -> None:
    console.print_json({"text": "a\x7f\x1b\x9b"})
    line = capsys.readouterr().out.rstrip("\n")
    assert line.isprintable()
    assert json.loads(line) == {"text": "a\x7f\x1b\x9b"}
