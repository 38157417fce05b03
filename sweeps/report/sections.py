"""The parts of a report that are about the sweep as a whole; they need no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from statistics import median
from typing import Any

from sweeps.report.importance import (
    MIN_TRIALS,
    Shares,
    describe_importance,
    describe_too_few,
    ended_trials,
)
from sweeps.report.tables import (
    command,
    format_score,
    name_value_table,
    plain_text,
    trial_link,
    zoned_time,
)
from sweeps.results.commands import trial_commands
from sweeps.results.loaded_sweep import LoadedSweep, best_checkpoint_epoch
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import describe_state
from sweeps.terminal.console import uri_of
from sweeps.terminal.formatting import (
    count_of,
    format_duration,
)

STATES = ("finished", "stopped", "failed", "running", "paused", "pending")
COMMANDS = {
    "eval": "Score its weights{} on the test set:",
    "restore": "Train it further, alone:",
    "export-model": "Export its model:",
}


def describe_damage(sweep: LoadedSweep) -> str:
    """Returns sentences about files that are damaged; empty if there are none."""
    best = None if sweep.best is None else sweep.best.config_damage
    texts = [*sweep.damage, *filter(None, [best])]
    return "".join(f'<p class="missing">{escape(text)}</p>' for text in texts)


def summary(sweep: LoadedSweep) -> str:
    """Returns the main figures of the sweep, its trials by state, and its settings."""
    record, tune = sweep.record, sweep.search["tune"]
    best = sweep.best
    missing = "none" if sweep.state == "finished" else "none yet"
    score = missing if best is None or best.best is None else format_score(best.best[sweep.metric])
    tiles = {
        f"{sweep.best_label} {sweep.metric}": score,
        "trials ended": f"{sweep.ended} of {sweep.total}",
        "epochs trained": sum(len(result.rows) for result in sweep.results),
        "epochs saved by stopping early": sweep.saved_epochs(),
        "run time": format_duration(record.elapsed_s),
    }
    tile_html = "".join(
        f'<div class="tile"><b>{escape(str(value))}</b><span>{escape(name)}</span></div>'
        for name, value in tiles.items()
    )
    rows = {
        "state": describe_state(sweep.state, record.reason),
        "trials": ", ".join(f"{n} {state}" for state, n in sorted(sweep.states.items())),
        **_describe_added(sweep),
        "objective": ", ".join(f"{mode} {name}" for name, mode in sweep.metrics.items()),
        "search": _describe_section(tune["search_alg"]),
        "scheduler": _describe_section(tune["scheduler"]),
        "started": zoned_time(record.started),
        "ended": zoned_time(record.ended or "-"),
        "directory": uri_of(sweep.directory) or str(sweep.directory),
    }
    return f'<div class="tiles">{tile_html}</div>{_state_bar(sweep)}{name_value_table(rows)}'


def _state_bar(sweep: LoadedSweep) -> str:
    """Returns a bar with the share of every state."""
    parts = [(state, sweep.states[state]) for state in STATES if sweep.states[state]]
    bars = "".join(f'<i class="state-{state}" style="flex:{n}"></i>' for state, n in parts)
    texts = "".join(f'<span class="state-{state}">{n} {state}</span>' for state, n in parts)
    return f'<div class="states" aria-hidden="true"><div>{bars}</div><p>{texts}</p></div>'


def _describe_added(sweep: LoadedSweep) -> dict[str, str]:
    """Returns the row about the trials that were added by hand; empty if there are none."""
    added = [result.record for result in sweep.results if result.record.added]
    texts = [
        record.id if record.weights is None else f"{record.id} (from {record.weights})"
        for record in added
    ]
    return {"added by hand": ", ".join(texts)} if texts else {}


def _describe_section(section: Mapping[str, Any]) -> str:
    arguments = [f"{k} {v}" for k, v in section.items() if k != "name" and v is not None]
    return ", ".join([str(section["name"]), *arguments])


def best_config(sweep: LoadedSweep) -> str:
    """Returns the best trial's scores and values, the commands that use it, and its config."""
    best = sweep.best
    if best is None or best.best is None:
        return f'<p class="missing">{sweep.missing_best.capitalize()}.</p>'
    score = format_score(best.best[sweep.metric])
    origin = " (inherited)" if best.inherited else ""
    rows: dict[str, Any] = {
        "trial": trial_link(best.record.id),
        "state": best.record.state,
        f"best {sweep.metric}": f"{score} at epoch {best.best['epoch']}{origin}",
        f"last {sweep.metric}": _describe_last(best, sweep.metric),
        **_configuration_mean(sweep),
        **best.values,
    }
    parts = [name_value_table(rows)]
    if best.checkpoint is not None:
        path, epoch = best.checkpoint, best_checkpoint_epoch(best)
        source = f" of epoch {epoch}" if path.name == "best.pt" else ""
        commands = trial_commands(best, absolute=True)
        parts += [
            command(label.format(source), commands[verb])
            for verb, label in COMMANDS.items()
            if verb in commands
        ]
    config = best.config_text()
    if config is not None:
        text = plain_text(config)
        parts.append(f"<details><summary>complete config</summary>{text}</details>")
    return "".join(parts)


def _describe_last(result: TrialResult, metric: str) -> str:
    last = result.last or {}
    epoch, value = last.get("epoch", 0), last.get(metric)
    score = "-" if value is None else format_score(value)
    return f"{score} at epoch {epoch}"


def _configuration_mean(sweep: LoadedSweep) -> dict[str, Any]:
    """Returns the mean of the best configuration if it has several trials, else nothing."""
    if not sweep.configurations:
        return {}
    best = sweep.configurations[0]
    sd = "" if best.sd is None else f", sd {format_score(best.sd)}"
    trials = f"{len(best.scores)} {'final ' if best.final else ''}trials"
    return {
        f"mean {sweep.metric} of its configuration": f"{format_score(best.mean)}{sd}, {trials}"
    }


def importance_bars(sweep: LoadedSweep, computed: Shares) -> str:
    """Returns the share of every parameter as bars, or the reason why there are none."""
    shares, problem = computed
    count = len(ended_trials(sweep))
    if count < MIN_TRIALS:
        return f'<p class="missing">{describe_too_few(count)}</p>'
    if problem:
        return f'<p class="missing">{escape(problem)}</p>'
    largest = max(1e-9, *shares.values())
    bars = "".join(
        f"<dt>{escape(key)}</dt>"
        f'<dd><i style="width:{share / largest:.1%}"></i><span>{share:.2f}</span></dd>'
        for key, share in shares.items()
    )
    note = escape(describe_importance(sweep.metric, count))
    return f'<p>{note}</p><dl class="bars">{bars}</dl>'


def environment(sweep: LoadedSweep) -> str:
    """Returns what the sweep ran on: hardware, git state, versions, speed."""
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


def describe_size(sweep: LoadedSweep) -> str:
    """Returns the numbers of trials and of epochs as words."""
    epochs = sum(len(result.rows) for result in sweep.results)
    return f"{count_of(len(sweep.results), 'trial')}, {count_of(epochs, 'epoch')}"
