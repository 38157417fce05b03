"""Makes all pictures in `docs/images` anew, with Chromium and rich.

Usage:
    python docs/make_images.py                              runs the README's search first
    python docs/make_images.py experiments/digits_asha      of a finished sweep
    python docs/make_images.py experiments/digits_asha --only report.png
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.text import Text

from sweeps import load_sweep
from sweeps.ui.cache import SweepCache
from sweeps.ui.server import UiServer

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
SEARCH = "configs/search.yaml"
HOME = "/home/you/tune-sweeps"
"""Directory that the pictures show in place of the one where the sweep ran."""
WIDTH = 1400
MOST_BYTES = 250_000
COLUMNS, ROWS = 100, 40
"""Size of the terminal."""
ENDED_TRIALS = 9
"""Trials that have ended when the terminal is recorded."""
REPORT_HEIGHT = 1590
REPORT_PARTS = ("#summary", "#learning-curves", "#parallel-coordinates")

SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own template without its web fonts: a picture that asks the network for nothing."""


# -------------------------------------------------------------------- the terminal


class Screen:
    """Content of a terminal, with its colours.

    Knows what rich's live display writes: it erases a line and moves up by one.
    """

    def __init__(self) -> None:
        self.lines = [""]
        self._rest = ""

    def feed(self, text: str) -> None:
        """Shows more text; a sequence that is cut off waits for its end."""
        text = self._rest + text
        cut = re.search(r"\x1b[^A-Za-z]*$|\r$", text)
        self._rest = text[cut.start() :] if cut else ""
        for part in re.split(
            r"(\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]|\r?\n|\r)", text[: cut and cut.start()]
        ):
            if part == "\x1b[1A":
                self.lines.pop()
            elif part == "\x1b[2K":
                self.lines[-1] = ""
            elif part.endswith("\n"):
                self.lines.append("")
            elif part != "\r" and not part.startswith("\x1b[?25"):
                self.lines[-1] += part

    def count(self) -> tuple[int, int]:
        """Returns how many trials have ended, and how many run and have an epoch behind them.

        None run while the line of the sweep lags behind those of the trials.
        """
        text = "\n".join(Text.from_ansi(line).plain for line in self.lines)
        ended = len(re.findall(r"^ *\d+/\d+  trial .* best val_acc", text, re.MULTILINE))
        is_current = re.search(rf"^{ended}/\d+ done", text, re.MULTILINE)
        running = re.findall(r"^\w{8} .* running +\d+/\d+ +\d", text, re.MULTILINE)
        return ended, len(running) if is_current else 0


def run_in_terminal(command: list[str], directory: Path) -> list[str]:
    """Runs a sweep to its end in a terminal.

    Returns:
        The lines of the terminal when `ENDED_TRIALS` or more had ended and most others ran.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        screen, recorded, most = Screen(), [""], 0
        decoder = codecs.getincrementaldecoder("utf-8")()
        with suppress(OSError):  # the terminal's end
            while chunk := os.read(controller, 1 << 16):
                screen.feed(decoder.decode(chunk))
                ended, running = screen.count()
                if ended >= ENDED_TRIALS and running > most:
                    recorded, most = list(screen.lines), running
        os.close(controller)
    if process.returncode:
        print(*screen.lines, sep="\n", file=sys.stderr)  # noqa: T201
        raise subprocess.CalledProcessError(process.returncode, command)
    return recorded


def write_terminal(screen: list[str], directory: Path) -> None:
    """Writes `terminal.svg`: the prompt and the screen of a running sweep."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(f"[bold green]$[/] sweep run {SEARCH}", highlight=False)
    for line in screen:
        console.print(Text.from_ansi(line.replace(str(directory), HOME)), soft_wrap=True)
    svg = console.export_svg(title="tune-sweeps", code_format=SVG, unique_id="terminal")
    (IMAGES / "terminal.svg").write_text(
        "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n",
        encoding="utf-8",
    )


# ----------------------------------------------------------------------- the pages


def take(page: Page, address: str, ready: str, name: str, height: int) -> None:
    """Opens a page, waits until its charts are there, and writes the picture of its top."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(address)
    page.wait_for_selector(ready)
    page.wait_for_timeout(3000)  # the charts' own transitions
    page.mouse.move(0, 0)
    save(page.screenshot(), name)


def save(screenshot: bytes, name: str) -> None:
    """Writes a picture in as many colours as its size allows."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
        if (IMAGES / name).stat().st_size <= MOST_BYTES:
            return
    raise RuntimeError(f"{name} is larger than {MOST_BYTES} bytes")


def take_ui(page: Page, directory: Path, wanted: set[str]) -> None:
    """Writes `ui_sweep.png` and `ui_trial.png`: the sweep's page and its best trial's."""
    [cached] = SweepCache([directory]).sweeps()
    best = cached.view().sweep.best
    if best is None:
        raise RuntimeError(f"{directory}: no best trial")
    server = UiServer([directory], "127.0.0.1", 0)
    with server.in_background():
        page.goto(server.address_with_token)
        sweep = f"{server.address}sweep/{cached.key}"
        if "ui_sweep.png" in wanted:
            take(page, sweep, "#sweep-charts .scatterlayer", "ui_sweep.png", 1390)
        if "ui_trial.png" in wanted:
            trial = f"{sweep}/trial/{best.record.id}"
            take(page, trial, "#trial-curves .scatterlayer", "ui_trial.png", 985)


def take_report(page: Page, directory: Path) -> None:
    """Writes `report.png`: parts of `report.html`."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "report.html"
        words = ["report", str(directory), "--output", str(file)]
        # As in an activated environment: the commands on the page then say `sweep`.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(["sweep", *words], check=True, cwd=ROOT, env={**os.environ, "PATH": path})
        text = file.read_text(encoding="utf-8").replace(str(directory.parents[1]), HOME)
        others = f"section:not({', '.join(REPORT_PARTS)})"
        style = f"<style>{others} {{ display: none }}</style></head>"
        file.write_text(text.replace("</head>", style, 1), encoding="utf-8")
        take(page, file.as_uri(), ".js-plotly-plot .scatterlayer", "report.png", REPORT_HEIGHT)


NOTEBOOK = """<!doctype html><body style="font: 14px sans-serif; padding: 12px; width: 860px">
<pre style="background: #f5f5f5; border: 1px solid #e0e0e0; padding: 8px">{code}</pre>
{output}</body>"""
"""A cell of a notebook: its code and its output."""


def take_notebook(page: Page, directory: Path) -> None:
    """Writes `notebook.png`: a sweep in a notebook."""
    code = f'from sweeps import load_sweep\n\nload_sweep("experiments/{directory.name}")'
    page.set_viewport_size({"width": 900, "height": 600})
    page.set_content(NOTEBOOK.format(code=code, output=load_sweep(directory)._repr_html_()))
    save(page.locator("body").screenshot(), "notebook.png")


@contextmanager
def open_page() -> Iterator[Page]:
    """Opens a page of a light Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(color_scheme="light")
        page.set_default_timeout(300_000)
        yield page
        browser.close()


# ----------------------------------------------------------------------------- main


def run_search(place: Path, wanted: set[str]) -> Path:
    """Runs the README's search below `place`, records the terminal, and returns the sweep."""
    command = [sys.executable, "-m", "sweeps.cli", "run", str(ROOT / SEARCH)]
    screen = run_in_terminal(command, place)
    if "terminal.svg" in wanted:
        write_terminal(screen, place)
    return place / "experiments" / "digits_asha"


PICTURES = ("notebook.png", "report.png", "terminal.svg", "ui_sweep.png", "ui_trial.png")


def make(directory: Path, wanted: set[str]) -> None:
    """Makes the pictures of the pages of a finished sweep."""
    os.chdir(directory.parents[1])  # the pages show the path below the working directory
    with open_page() as page:
        take_ui(page, directory, wanted)
        if "report.png" in wanted:
            take_report(page, directory)
        if "notebook.png" in wanted:
            take_notebook(page, directory)


def main() -> None:
    """Makes the pictures that the arguments name, by default all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "directory", nargs="?", type=Path, help="a finished sweep; by default one runs"
    )
    parser.add_argument(
        "--only", nargs="+", choices=PICTURES, default=PICTURES, help="pictures to make"
    )
    options = parser.parse_args()
    wanted = set(options.only)
    if options.directory is not None:
        make(options.directory.resolve(), wanted - {"terminal.svg"})
        return
    with tempfile.TemporaryDirectory() as place:
        make(run_search(Path(place).resolve(), wanted), wanted)


if __name__ == "__main__":
    main()
