"""Writes `report.html`: a sweep's report in one file that loads nothing from the network.

The page has the sweep's text and tables as HTML, so that it can be read without a script. Its
script (`assets/*.js`) draws the table of trials, the charts and the details of a trial from one
JSON object.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sweeps.report import sections, trial_sections
from sweeps.report.class_data import SplitClasses, read_splits
from sweeps.report.class_tables import classes_section
from sweeps.report.data.curves import schedule_data
from sweeps.report.data.island import report_data, to_island
from sweeps.report.importance import importance
from sweeps.report.tables import zoned_time
from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.storage.location import upload
from sweeps.sweep_dir.layout import REPORT
from sweeps.sweep_dir.records import now
from trainable.atomic_files import write_bytes

ASSETS = Path(__file__).parent / "assets"
STYLE = "page.css"
LIBRARY = "plotly-basic.min.js"
"""plotly.js with the traces scatter and bar; `docs/vendor_plotly.py` brings another version."""
LICENCE = "plotly-LICENSE.txt"
SCRIPTS = (
    "core.js",
    "filters.js",
    "table.js",
    "plots.js",
    "trial_charts.js",
    "sweep_charts.js",
    "coordinates.js",
    "details.js",
    "main.js",
)
"""The page's own script, in order; the files share one scope."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 14V9h3v5zm4.5 0V5h3v9zM11 14V2h3v12z' fill='%234f7cd6'/%3E%3C/svg%3E"
)
"""The page's icon, which a browser would otherwise ask its server for."""
NO_SCRIPT = "This chart needs JavaScript."


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    content: str
    """HTML."""


def write_report(directory: Path, output: Path | None = None) -> Path:
    """Writes the report of a sweep in any state.

    Args:
        directory: The sweep directory.
        output: The file to write; None means `report.html` in the sweep directory.

    Returns:
        The path of the report.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
        OSError: The file cannot be written.
    """
    return write_page(load(directory), output)


def write_page(sweep: LoadedSweep, output: Path | None = None) -> Path:
    """Writes the report of a sweep that has been read; see `write_report`."""
    path = sweep.directory / REPORT if output is None else output
    # A path that is not UTF-8 becomes `\udcff` and the like, which JSON can contain, too.
    write_bytes(path, build_page(sweep).encode(errors="backslashreplace"))
    if output is None:
        upload(path)
    return path


def build_page(sweep: LoadedSweep) -> str:
    """Returns the whole report as HTML."""
    splits = read_splits(sweep.best)
    parts = _sections(sweep, splits)
    links = "".join(f'<a href="#{part.id}">{escape(part.title)}</a>' for part in parts)
    body = "".join(
        f'<section id="{part.id}"><h2>{escape(part.title)}</h2>{part.content}</section>\n'
        for part in parts
    )
    scripts = [_read(LIBRARY), "\n".join(_read(name) for name in SCRIPTS)]
    name = escape(sweep.record.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="{ICON}">\n'
        f"<title>{name}</title>\n<style>{_read(STYLE)}</style>\n"
        "<noscript><style>.js { display: none }</style></noscript></head>\n"
        f'<body><header><h1>{name}</h1><span class="badge state-{sweep.state}">{sweep.state}'
        f"</span><p>{sections.describe_size(sweep)} · report of {zoned_time(now())}</p>"
        '</header>\n<div class="page">'
        f'<nav aria-label="Parts of the report">{links}</nav>\n<main>{body}</main></div>\n'
        '<aside id="trial" hidden tabindex="-1" aria-label="Trial"></aside>\n'
        f'<script type="application/json" id="data">{to_island(report_data(sweep, splits))}'
        "</script>\n"
        + f"<!--\n{_read(LICENCE).replace('--', '- -')}-->\n"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body></html>\n"
    )


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    """Returns the policy of the page: it loads nothing and runs no other script."""
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _sections(sweep: LoadedSweep, splits: list[SplitClasses]) -> list[Section]:
    """Returns the parts of the page; those that say nothing about this sweep are left out."""
    damage = sections.describe_damage(sweep)
    plain = trial_sections.plain_trials(sweep)
    trials = f'<div id="trial-table" class="js"></div><noscript>{plain}</noscript>'
    parts = [
        Section("damaged-files", "Damaged files", damage) if damage else None,
        Section("summary", "Summary", sections.summary(sweep)),
        Section("best-config", "Best config", sections.best_config(sweep)),
        Section("trials", "Trials", trials),
        *_charts(sweep),
        Section(
            "parameter-importance",
            "Parameter importance",
            sections.importance_bars(sweep, importance(sweep)),
        ),
        *_special_parts(sweep),
        Section("classes", "Classes of the best trial", classes_section(splits))
        if splits
        else None,
        *_late_charts(sweep),
        Section("failures", "Failures", trial_sections.failures(sweep)),
        Section("environment", "Environment", sections.environment(sweep)),
    ]
    return [part for part in parts if part is not None]


def _chart(name: str, title: str, missing: str = "", content: str = "") -> Section:
    """Returns a part that the script draws a chart in, unless the chart is missing.

    Args:
        name: The name of the chart in the script.
        title: The heading.
        missing: Why there is no chart.
        content: HTML below the chart.
    """
    if missing:
        return Section(name, title, f'<p class="missing">{escape(missing)}</p>{content}')
    place = f'<div class="chart js" data-chart="{name}"></div>'
    return Section(name, title, f"{place}<noscript><p>{NO_SCRIPT}</p></noscript>{content}")


def _charts(sweep: LoadedSweep) -> list[Section]:
    scored = sum(result.best is not None for result in sweep.results)
    keys = len(sweep.sampled_keys)
    one = "" if scored else f"{sweep.missing_best.capitalize()}."
    key = one or ("" if keys else "The search has no parameters.")
    two = key or _too_few("parameter", keys) or _too_few("trial with a result", scored)
    several = key or _too_few("trial with a result", scored)
    trained = any(result.rows for result in sweep.results)
    return [
        _chart("learning-curves", "Learning curves", "" if trained else one),
        _chart("best-so-far", "Best so far", one),
        _chart("parallel-coordinates", "Parallel coordinates", several),
        _chart("parameters", "Parameters", key),
        _chart("pairs", "Pairs of parameters", two),
    ]


def _too_few(noun: str, count: int) -> str:
    """Returns why a chart that needs two of something is missing; empty if it is not."""
    if count >= 2:
        return ""
    head, _, tail = noun.partition(" ")
    return f"This needs at least two {f'{head}s {tail}'.strip()}; there is {count or 'none'}."


def _special_parts(sweep: LoadedSweep) -> list[Section]:
    """Returns the parts about several metrics, repeats and PBT, if the sweep has them."""
    parts = []
    if len(sweep.metrics) > 1:
        missing = "" if sweep.front else "No trial has all of these metrics."
        table = trial_sections.front_table(sweep) if sweep.front else ""
        parts.append(_chart("pareto-front", "Pareto front", missing, table))
    if sweep.configurations:
        table = trial_sections.configurations(sweep)
        parts.append(_chart("configurations", "Repeats and finals", "", table))
    if any(result.record.lineage for result in sweep.results):
        missing = "" if schedule_data(sweep) else "No value was changed."
        table = trial_sections.copies_table(sweep)
        parts.append(_chart("schedule", "Schedule of values", missing, table))
    return parts


def _late_charts(sweep: LoadedSweep) -> list[Section]:
    stopped = sweep.states["stopped"]
    scheduler = sweep.search["tune"]["scheduler"]["name"]
    none = "" if stopped else f"No trial was stopped early (scheduler: {scheduler})."
    stops = f"<p>{escape(trial_sections.describe_stops(sweep))}</p>" if stopped else ""
    started = any(result.record.started for result in sweep.results)
    return [
        _chart("stopped-trials", "Stopped trials by epoch", none, stops),
        _chart("timeline", "Timeline", "" if started else "No trial has started."),
    ]
