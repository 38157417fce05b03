"""The parts of a report that list trials without a script: all, repeats, front, failures."""

from __future__ import annotations

from collections import Counter
from html import escape

from sweeps.report.data.trials import describe_end, last_lines, seconds_of
from sweeps.report.failure_groups import (
    FailureGroup,
    failures_note,
    group_failures,
    has_recovered,
)
from sweeps.report.tables import (
    Markup,
    command,
    format_score,
    plain_text,
    row_table,
    trial_link,
    zoned_time,
)
from sweeps.results.commands import read_commands
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.formatting import count_of, format_duration, format_value

MAX_LISTED = 1000
"""Trials that the table without a script lists."""
MAX_LINKS, MAX_GROUPS = 12, 30
"""Trials that a group of failures links to, and groups of failures."""


def plain_trials(sweep: LoadedSweep) -> str:
    """Returns the table of all trials for a browser without a script."""
    head = ["rank", "trial", "state", f"best {sweep.metric}", "epoch", "epochs", "took", "why"]
    lines = []
    for rank, result in enumerate(sweep.results[:MAX_LISTED], start=1):
        best, seconds = result.best, seconds_of(result)
        cells = [
            str(rank) if best is not None else "-",
            result.record.id,
            result.record.state,
            "-"
            if best is None
            else format_score(best[sweep.metric]) + (" (inherited)" if result.inherited else ""),
            "-" if best is None else str(best["epoch"]),
            "0" if result.last is None else str(result.last["epoch"]),
            "-" if seconds is None else format_duration(seconds),
            describe_end(sweep, result),
            *(format_value(result.values.get(key)) for key in sweep.sampled_keys),
        ]
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr id="trial-{escape(result.record.id)}">{row}</tr>')
    headings = "".join(f"<th>{escape(name)}</th>" for name in [*head, *sweep.sampled_keys])
    more = len(sweep.results) - MAX_LISTED
    note = f"<p>{more} more.</p>" if more > 0 else ""
    return (
        f'<div class="scroll"><table><thead><tr>{headings}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{note}"
    )


def configurations(sweep: LoadedSweep) -> str:
    """Returns the configurations with values, mean and spread of their trials, best first."""
    note = (
        "<p>Configurations are ranked by the mean of their trials, which only differ by their "
        "seeds and, with <code>dataset.folds</code>, by the fold that is held out. If there are "
        "final trials, only these count.</p>"
    )
    rows = []
    for item in sweep.configurations:
        values = ", ".join(f"{k} {format_value(v)}" for k, v in item.results[0].values.items())
        rows.append(
            [
                item.label,
                Markup(f'<span class="number">{item.mean:.4f}</span>'),
                Markup("-" if item.sd is None else f"{item.sd:.4f}"),
                f"{min(item.scores):.4f} to {max(item.scores):.4f}",
                f"{len(item.scores)}{' final' if item.final else ''}",
                trial_link(item.results[0].record.id),
                values,
            ]
        )
    head = ["configuration", f"mean {sweep.metric}", "sd", "lowest to highest", "trials"]
    return note + row_table([*head, "best trial", "values"], rows)


def front_table(sweep: LoadedSweep) -> str:
    """Returns the trials of the Pareto front with their metrics and values."""
    rows = []
    for result in sweep.front:
        best = result.own_best or {}
        values = ", ".join(f"{k} {format_value(v)}" for k, v in result.values.items())
        scores = [float(best[name]) for name in sweep.metrics]
        rows.append([trial_link(result.record.id), *scores, best["epoch"], values])
    return row_table(["trial", *sweep.metrics, "epoch", "values"], rows)


def describe_stops(sweep: LoadedSweep) -> str:
    """Returns how many trials each rule has stopped early, and the epochs that this saved."""
    stopped = [result.record for result in sweep.results if result.record.state == "stopped"]
    texts = [text for record in stopped if (text := record.stop_text)]
    rules = Counter(text.removeprefix("by ") for text in texts)
    scheduler = sweep.search["tune"]["scheduler"]["name"]
    counts = {scheduler: len(stopped) - rules.total(), **dict(sorted(rules.items()))}
    listed = ", ".join(f"{count} by {rule}" for rule, count in counts.items() if count)
    return f"Stopped early: {listed}. That saved {count_of(sweep.saved_epochs(), 'epoch')}."


def copies_table(sweep: LoadedSweep) -> str:
    """Returns the trials that copied a better one (PBT)."""
    ids = {result.record.directory: result.record.id for result in sweep.results}
    rows = [
        [
            trial_link(result.record.id),
            step["epoch"],
            trial_link(ids[step["donor"]]) if step["donor"] in ids else step["donor"],
            ", ".join(f"{k} {format_value(v)}" for k, v in step["values"].items()),
        ]
        for result in sweep.results
        for step in result.record.lineage
    ]
    head = ["trial", "after epoch", "copied", "values from then on"]
    return "<p>Trials that copied a better trial:</p>" + row_table(head, rows)


def failures(sweep: LoadedSweep) -> str:
    """Returns the failures by cause, with the ends of tracebacks and the commands for the rest."""
    groups = group_failures(sweep.results)
    parts = [f"<p>{escape(failures_note(sweep))}</p>"]
    if any(group.failed for group in groups) and sweep.state != "running":
        again = read_commands(sweep.directory).run_again("retry", absolute=True)
        parts.append(command("Run all failed trials again, from their checkpoints:", again))
    parts += [
        _render_group(sweep, group, is_open=index == 0)
        for index, group in enumerate(groups[:MAX_GROUPS])
    ]
    if len(groups) > MAX_GROUPS:
        more = count_of(len(groups) - MAX_GROUPS, "more kind")
        parts.append(f"<p>and {more} of failure</p>")
    return "".join(parts)


def _render_group(sweep: LoadedSweep, group: FailureGroup, *, is_open: bool) -> str:
    newest, trials = group.newest, group.trials
    links = ", ".join(
        trial_link(result.record.id) + (" (recovered)" if has_recovered(result) else "")
        for result in trials[:MAX_LINKS]
    )
    more = f" and {len(trials) - MAX_LINKS} more" if len(trials) > MAX_LINKS else ""
    owner = next(result for result, failure in group.failures if failure is newest)
    log = sweep_command("logs", sweep.directory, owner.record.id, absolute=True)
    text = last_lines(newest)
    state = " open" if is_open else ""
    traceback = (
        f"<details{state}><summary>traceback of {escape(owner.record.id)}, last lines</summary>"
        f"{plain_text(text)}</details>"
        if text
        else ""
    )
    return (
        f'<div class="failure"><p><span class="badge state-failed">{escape(newest.cause)}</span> '
        f"<b>{count_of(len(group.failures), 'failure')}</b>, last {zoned_time(newest.time)}, "
        f"after epoch {newest.epoch}</p>{plain_text(newest.message)}"
        f"<p>Trials: {links}{more}</p>{traceback}"
        f"{command(f'The whole log of {owner.record.id}:', log)}</div>"
    )
