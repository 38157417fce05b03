"""Checks a sweep before its first trial and refuses what would make trials fail.

Nothing is created. The problems are those of training configs (`trainable.preflight`), reported by
the keys and lines of the search file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sweeps.preflight.variants import Variant, list_variants
from sweeps.space.parameters import to_json
from sweeps.spec.log_to import find_tracker_problems
from sweeps.spec.origin import name_command_line
from sweeps.spec.search_spec import SearchSpec
from sweeps.terminal.console import print_line
from trainable.config import TrainConfig
from trainable.config.own_code import add_code_directories, code_directories
from trainable.config.yaml_reader import line_of
from trainable.errors import ConfigError, Problem
from trainable.preflight.background import (
    BackgroundCheck,
    Options,
    Verdict,
    check_elsewhere,
    check_here,
)
from trainable.preflight.checks import is_checked_slowly, setting_problems
from trainable.preflight.paths import check_directory, check_inputs, find_obstacle

RunOnWorker = Callable[[Callable[[], Verdict]], Verdict]
"""Calls a function on a machine that trials run on."""


def refuse_failing_sweep(spec: SearchSpec, options: Options) -> None:
    """Makes all checks in this process, which then finds own code beside the search file.

    With a cluster in `RAY_ADDRESS`, files of the trials are not looked for on this machine.

    Raises:
        ConfigError: Trials would fail; all problems are listed.
    """
    if options.allow_custom_model:
        add_code_directories([Path.cwd(), spec.origin.directory])
    if os.environ.get("RAY_ADDRESS", "local") != "local":
        check_settings(spec, options)
        return
    variants = list_variants(spec)
    quick = _check_quickly(variants, options)
    slow = check_here(_slow_configs(variants), options)
    _refuse(spec, variants, quick, slow)


@contextmanager
def background_checks(spec: SearchSpec, options: Options) -> Iterator[Callable[[], None]]:
    """Makes the quick checks and starts the slow ones for trials that run on this machine.

    Yields:
        A function that waits for the slow checks. It raises ConfigError if trials would fail.

    Raises:
        ConfigError: A quick check has found a problem; those of slow ones are listed, too.
    """
    variants = list_variants(spec)
    quick = _check_quickly(variants, options)
    slow = BackgroundCheck(_slow_configs(variants), options)

    def finish() -> None:
        _refuse(spec, variants, quick, slow.result())

    try:
        if any(quick) or _check_outputs(spec):
            finish()
        yield finish
    finally:
        slow.cancel()


def check_settings(spec: SearchSpec, options: Options) -> None:
    """Makes the checks that need no file of the machines that trials run on.

    Raises:
        ConfigError: Trials would fail.
    """
    variants = list_variants(spec)
    problems = [list(setting_problems(v.config, options.allow_custom_model)) for v in variants]
    _refuse(spec, variants, problems, Verdict([]))


def check_on_worker(spec: SearchSpec, options: Options, run: RunOnWorker) -> None:
    """Makes the checks of files and of the model on a machine of a cluster.

    Args:
        spec: The search file.
        options: How thorough the checks are.
        run: Runs a function on such a machine.

    Raises:
        ConfigError: Trials would fail.
    """
    variants = list_variants(spec)
    configs = [variant.config for variant in variants]
    directories = code_directories()
    verdict = run(lambda: check_elsewhere(configs, options, directories))
    _refuse(spec, variants, [[] for _ in variants], verdict, configs)


def _check_quickly(variants: Sequence[Variant], options: Options) -> list[list[Problem]]:
    return [
        [
            *setting_problems(variant.config, options.allow_custom_model),
            *check_inputs(variant.config),
        ]
        for variant in variants
    ]


def _slow_configs(variants: Sequence[Variant]) -> list[TrainConfig]:
    return [variant.config for variant in variants if is_checked_slowly(variant.config)]


def _check_outputs(spec: SearchSpec) -> list[Problem]:
    """Returns why nothing can be written, with the lines of the search file.

    The sweep's directory cannot be created, or the client of a tracker is missing.
    """
    located = spec.origin.locate
    problems = [
        located(p) for p in check_directory("checkpoint.dir", spec.training.checkpoint.dir)
    ]
    problems += _check_trackers(spec)
    name = spec.sweep_name
    if problems or name is None:
        return problems
    path = Path(spec.training.checkpoint.dir, name)
    line = line_of(spec.origin.search, ("name",))
    if path.is_dir() and (obstacle := find_obstacle(path)) is not None:
        problems.append(Problem("name", f"must be free in checkpoint.dir: {obstacle}", line))
    if path.exists() and not path.is_dir():
        rule = f"must be free in checkpoint.dir: {path} is a file; choose another name"
        problems.append(Problem("name", rule, line))
    return problems


def _check_trackers(spec: SearchSpec) -> Iterator[Problem]:
    """Yields why the sweep cannot report to its trackers."""
    for key, rule in find_tracker_problems(spec.log_to):
        line = line_of(spec.origin.search, tuple(key.split(".")))
        yield name_command_line(Problem(key, rule, line))


def _refuse(
    spec: SearchSpec,
    variants: Sequence[Variant],
    quick: Sequence[Sequence[Problem]],
    slow: Verdict,
    slow_configs: Sequence[TrainConfig] | None = None,
) -> None:
    """Raises ConfigError with all problems, if there are any."""
    for notice in slow.notices:
        print_line(f"note: {notice}")
    configs = _slow_configs(variants) if slow_configs is None else slow_configs
    slow_problems = dict(zip(map(id, configs), slow.problems, strict=False))
    problems_of = [
        [*problems, *slow_problems.get(id(variant.config), ())]
        for variant, problems in zip(variants, quick, strict=True)
    ]
    problems = [*_check_outputs(spec), *_merge(spec, variants, problems_of)]
    if problems:
        problems.sort(key=lambda problem: problem.line or 0)
        raise ConfigError(spec.origin.search.source, problems)


def _merge(
    spec: SearchSpec, variants: Sequence[Variant], problems_of: Sequence[Sequence[Problem]]
) -> Iterator[Problem]:
    """Yields every problem once, with the values of the space that it occurs with."""
    affected: dict[Problem, list[Variant]] = {}
    for variant, problems in zip(variants, problems_of, strict=True):
        for problem in dict.fromkeys(problems):
            affected.setdefault(problem, []).append(variant)
    for problem, with_it in affected.items():
        values = with_it[0].values
        if problem.key in values:
            line = line_of(spec.origin.search, ("space", problem.key))
            rule = f"with {to_json(values[problem.key])}: {problem.rule}"
            yield Problem(f"space.{problem.key}", rule, line)
            continue
        rule = problem.rule
        if len(with_it) < len(variants):
            text = ", ".join(f"{key}: {to_json(value)}" for key, value in values.items())
            rule = f"with {text}: {rule}"
        yield spec.origin.locate(replace(problem, rule=rule))
