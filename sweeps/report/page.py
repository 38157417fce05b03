"""Writes `report.html`: a sweep's report in one file that loads nothing from the network.

This module builds the page and its tables; the charts come from `optuna_charts` and
`curve_charts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

import plotly.io
from plotly.offline import get_plotlyjs

from sweeps.report.class_charts import classes_table, matrix_chart, read_splits
from sweeps.report.curve_charts import Chart
from sweeps.report.optuna_charts import ChartData, all_charts, pareto_chart
from sweeps.report.optuna_study import chart_studies, read_space
from sweeps.report.tables import (
    configurations_table,
    foldable_text,
    name_value_table,
    pareto_table,
    row_table,
)
from sweeps.results.commands import trial_commands
from sweeps.results.loaded_sweep import LoadedSweep, best_checkpoint_epoch, load
from sweeps.results.trial_results import TrialResult
from sweeps.storage.location import upload
from sweeps.sweep_dir.layout import REPORT
from sweeps.sweep_dir.records import TrialRecord, describe_state, now
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.formatting import format_duration, format_metric, format_time, format_value
from trainable.atomic_files import write_text

# The page must load nothing. plotly.js compiles its WebGL commands at run time.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #f4f6f8; margin: 0; }
main { max-width: 1120px; margin: 0 auto; padding: 24px; }
section { background: #fff; border: 1px solid #dde3ea; border-radius: 8px; padding: 16px 20px;
  margin: 16px 0; overflow-x: auto; }
h1 { font-size: 26px; margin: 8px 0; } h2 { font-size: 18px; margin: 0 0 6px; }
p { margin: 4px 0 10px; color: #55606e; } .missing { color: #8a4b00; }
nav { font-size: 14px; display: flex; flex-wrap: wrap; gap: 2px 14px; }
a { color: #1f5fa8; text-decoration: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 18px 3px 0; vertical-align: top; }
th { color: #55606e; font-weight: 600; } tr + tr { border-top: 1px solid #eef1f4; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: #f4f6f8; padding: 10px; border-radius: 6px; overflow-x: auto; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 8px 0 14px; }
.tile b { display: block; font-size: 22px; } .tile span { color: #55606e; font-size: 13px; }
.long { min-width: 300px; max-width: 620px; overflow-wrap: anywhere; white-space: pre-wrap; }
summary { cursor: pointer; color: #1f5fa8; }
"""


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
    write_text(path, build_page(sweep))
    if output is None:
        upload(path)
    return path


def build_page(sweep: LoadedSweep) -> str:
    """Returns the whole report as HTML."""
    study, scored = chart_studies(sweep, read_space(sweep.directory))
    charts = all_charts(ChartData(sweep, study, scored))
    sections = [
        *_damage(sweep),
        ("Summary", _summary(sweep)),
        ("Best config", _best_config(sweep)),
        *_configurations(sweep),
        *_pareto_front(sweep),
        *_classes(sweep),
        *((chart.title, _render_chart(chart)) for chart in charts),
        ("Stopped trials", _stopped_trials(sweep)),
        ("Failures", _failures(sweep)),
        ("Environment", _environment(sweep)),
    ]
    anchors = {title: title.lower().replace(" ", "-") for title, _ in sections}
    links = "".join(f'<a href="#{anchors[t]}">{escape(t)}</a>' for t, _ in sections)
    body = "".join(
        f'<section id="{anchors[title]}"><h2>{escape(title)}</h2>{content}</section>\n'
        for title, content in sections
    )
    name = escape(sweep.record.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script></head>\n"
        f"<body><main><h1>{name}</h1><p>Sweep report of {format_time(now())}</p>"
        f"<nav>{links}</nav>\n"
        f"{body}</main></body></html>\n"
    )


def _render_chart(chart: Chart) -> str:
    note = f"<p>{escape(chart.note)}</p>" if chart.note else ""
    if chart.figure is None:
        return f'{note}<p class="missing">{escape(chart.missing)}</p>'
    figure = chart.figure.update_layout(
        template="plotly_white", width=None, margin={"l": 70, "r": 30, "t": 30, "b": 60}
    )
    rendered: str = plotly.io.to_html(
        figure,
        include_plotlyjs=False,
        full_html=False,
        config={"responsive": True, "displaylogo": False},
    )
    return note + rendered


# ------------------------------------------------------------------------------ tables


def _damage(sweep: LoadedSweep) -> list[tuple[str, str]]:
    best = None if sweep.best is None else sweep.best.config_damage
    texts = [*sweep.damage, *filter(None, [best])]
    lines = "".join(f'<p class="missing">{escape(text)}</p>' for text in texts)
    return [("Damaged files", lines)] if texts else []


def _summary(sweep: LoadedSweep) -> str:
    record, tune = sweep.record, sweep.search["tune"]
    best = sweep.best
    missing = "none" if sweep.state == "finished" else "none yet"
    score = missing if best is None or best.best is None else f"{best.best[sweep.metric]:.4f}"
    epochs = sum(len(result.rows) for result in sweep.results)
    tiles = {
        f"{sweep.best_label} {sweep.metric}": score,
        "trials ended": f"{sweep.ended} of {sweep.total}",
        "epochs trained": epochs,
        "epochs saved by early stopping": sweep.saved_epochs(),
        "run time": format_duration(record.elapsed_s),
    }
    tile_html = "".join(
        f'<div class="tile"><b>{escape(str(value))}</b><span>{escape(name)}</span></div>'
        for name, value in tiles.items()
    )
    rows = {
        "state": describe_state(sweep.state, record.reason),
        "trials": ", ".join(f"{n} {state}" for state, n in sorted(sweep.states.items())),
        "objective": f"{sweep.mode} {sweep.metric}",
        "search": _describe_section(tune["search_alg"]),
        "scheduler": _describe_section(tune["scheduler"]),
        "started": format_time(record.started),
        "ended": format_time(record.ended or "-"),
        "directory": str(sweep.directory),
    }
    return f'<div class="tiles">{tile_html}</div>' + name_value_table(rows)


def _describe_section(section: Mapping[str, Any]) -> str:
    arguments = [f"{k} {v}" for k, v in section.items() if k != "name" and v is not None]
    return ", ".join([str(section["name"]), *arguments])


def _best_config(sweep: LoadedSweep) -> str:
    best = sweep.best
    if best is None or best.best is None:
        return f'<p class="missing">{sweep.missing_best.capitalize()}.</p>'
    rows: dict[str, Any] = {
        "trial": f"{best.record.id} ({best.record.state})",
        f"best {sweep.metric}": f"{best.best[sweep.metric]:.4f} at epoch {best.best['epoch']}",
        f"last {sweep.metric}": _describe_last(best, sweep.metric),
        **_configuration_mean(sweep),
        **best.values,
    }
    parts = [name_value_table(rows)]
    if best.checkpoint is not None:
        path, epoch = best.checkpoint, best_checkpoint_epoch(best)
        source = f" of epoch {epoch}" if path.name == "best.pt" else ""
        parts.append(f"<p>Score the weights{source} on the test set, or train them further:</p>")
        commands = trial_commands(best, absolute=True)
        shown = "\n".join(commands[verb] for verb in ("eval", "restore") if verb in commands)
        parts.append(f"<pre>{escape(shown)}</pre>")
    config = best.config_text()
    if config is not None:
        parts.append(
            f"<details><summary>complete config</summary><pre>{escape(config)}</pre></details>"
        )
    return "".join(parts)


def _describe_last(result: TrialResult, metric: str) -> str:
    epoch = 0 if result.last is None else result.last["epoch"]
    return f"{format_metric(result.last, metric)} at epoch {epoch}"


def _configuration_mean(sweep: LoadedSweep) -> dict[str, Any]:
    """Returns the mean of the best configuration if it has several trials, else nothing."""
    if not sweep.configurations:
        return {}
    best = sweep.configurations[0]
    sd = "" if best.sd is None else f", sd {best.sd:.4f}"
    trials = f"{len(best.scores)} {'final ' if best.final else ''}trials"
    return {f"mean {sweep.metric} of its configuration": f"{best.mean:.4f}{sd}, {trials}"}


def _configurations(sweep: LoadedSweep) -> list[tuple[str, str]]:
    """Returns the section about configurations if any has several trials, else nothing."""
    if not sweep.configurations:
        return []
    note = (
        "<p>Configurations are ranked by the mean of their trials, which only differ by their "
        "seeds and, with <code>dataset.folds</code>, by the fold that is held out. If there are "
        "final trials, only these count.</p>"
    )
    return [("Configurations", note + configurations_table(sweep.configurations, sweep.metric))]


def _pareto_front(sweep: LoadedSweep) -> list[tuple[str, str]]:
    """Returns the section about the Pareto front if there are several metrics, else nothing."""
    if len(sweep.metrics) < 2:
        return []
    chart = pareto_chart(sweep)
    return [(chart.title, _render_chart(chart) + pareto_table(sweep.front, sweep.metrics))]


def _classes(sweep: LoadedSweep) -> list[tuple[str, str]]:
    """Returns the section about the classes if the best trial has measured any, else nothing."""
    splits = read_splits(sweep)
    if not splits:
        return []
    charts = "".join(_render_chart(matrix_chart(split)) for split in splits)
    return [("Classes of the best trial", classes_table(splits) + charts)]


def _stopped_trials(sweep: LoadedSweep) -> str:
    stopped = [result for result in sweep.results if result.record.state == "stopped"]
    if not stopped:
        return '<p class="missing">No trial was stopped early.</p>' + _exploits(sweep)
    stopped.sort(key=lambda result: result.record.ended or "")
    rows = [
        [
            result.record.id,
            len(result.rows),
            format_value(None if result.best is None else result.best[sweep.metric]),
            format_time(result.record.ended or "-"),
            _describe_stop(sweep, result.record),
        ]
        for result in stopped
    ]
    head = ["trial", "after epoch", f"best {sweep.metric}", "ended", "by"]
    return row_table(head, rows) + _exploits(sweep)


def _describe_stop(sweep: LoadedSweep, record: TrialRecord) -> str:
    if record.stopped_by is None:
        return "scheduler or target" if sweep.record.reason == "target" else "scheduler"
    return f"training.{record.stopped_by}: {record.stop_reason}"


def _exploits(sweep: LoadedSweep) -> str:
    """Returns the table of trials that copied a better one (PBT); empty if there are none."""
    ids = {result.record.directory: result.record.id for result in sweep.results}
    rows = [
        [result.record.id, step["epoch"], ids.get(step["donor"], step["donor"])]
        for result in sweep.results
        for step in result.record.lineage
    ]
    if not rows:
        return ""
    return "<p>Trials that copied a better trial:</p>" + row_table(
        ["trial", "after epoch", "copied"], rows
    )


def _failures(sweep: LoadedSweep) -> str:
    failed = [result for result in sweep.results if result.record.failures]
    if not failed:
        return "<p>None.</p>"
    rows = [
        [
            result.record.id,
            result.record.state,
            failure.cause,
            failure.epoch,
            format_time(failure.time),
            foldable_text(failure.message, failure.traceback, "traceback"),
        ]
        for result in failed
        for failure in result.record.failures
    ]
    note = (
        "All failures, including those that a retry recovered from. sweep logs prints the whole "
        "log of a trial:"
    )
    command = sweep_command("logs", sweep.directory, failed[0].record.id, absolute=True)
    head = ["trial", "state", "cause", "after epoch", "time", "why"]
    return f"<p>{note}</p><pre>{escape(command)}</pre>" + row_table(head, rows)


def _environment(sweep: LoadedSweep) -> str:
    rows: dict[str, Any] = dict(sweep.record.environment)
    rows |= {f"{name} version": version for name, version in sweep.record.versions.items()}
    rows |= _hardware_usage(sweep.results)
    missing = (
        "" if sweep.record.environment else "<p>Hardware and git state were not recorded.</p>"
    )
    return missing + name_value_table(rows)


def _hardware_usage(results: Iterable[TrialResult]) -> dict[str, str]:
    """Summarises devices, memory and speed from the metrics of all epochs."""
    rows = [row for result in results for row in result.rows]
    usage = {}
    devices = sorted({str(row["device"]) for row in rows if row.get("device")})
    if devices:
        usage["trained on"] = ", ".join(devices)
    for key, name, choose in (
        ("peak_memory_gib", "peak memory of a trial, GiB", max),
        ("images_per_s", "median images per second", median),
        ("epoch_s", "median seconds per epoch", median),
    ):
        values = [row[key] for row in rows if row.get(key) is not None]
        if values:
            usage[name] = f"{choose(values):.4g}"
    return usage
