"""Drafts a search file and a training config, checks both, and writes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.init.backbones import ModelChoice, PresetName, choose_model
from sweeps.init.commented_yaml import Setting, default_setting, render
from sweeps.init.data_facts import UNCOUNTED, DataFacts, read_facts
from sweeps.init.data_source import read_source
from sweeps.init.machine import Machine
from sweeps.init.new_files import SEARCH, TRAINING, refuse_existing
from sweeps.init.search_settings import format_budget, list_search_settings
from sweeps.init.sizing import Conditions, Size, choose_size, estimate_probed_s
from sweeps.init.training_settings import (
    EXPERIMENTS,
    change_settings,
    list_training_settings,
)
from sweeps.planning.cost import probe
from sweeps.planning.plan import Plan, make_plan
from sweeps.preflight.checks import refuse_failing_sweep
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.terminal.commands import sweep_command, train_command
from sweeps.terminal.formatting import format_duration
from trainable.atomic_files import write_text
from trainable.config.names import check_directory_name
from trainable.config.yaml_reader import Document, parse_yaml
from trainable.errors import ConfigError, Problem, TuneSweepsError
from trainable.preflight.background import Options

PROBED_DRAWS = 2
"""First draws of which a few batches are trained to measure the time."""

TRAINING_DEFAULTS = (
    ("dataset", "num_workers"),
    ("model", "unfreeze_epoch"),
    ("loss", "label_smoothing"),
    ("loss", "weight"),
    ("training", "sampler"),
    ("training", "clip_grad"),
    ("training", "early_stopping"),
    ("optimizer", "layer_decay"),
    ("augment", "rotation"),
    ("augment", "randaugment"),
    ("augment", "color_jitter"),
    ("augment", "mixup"),
    ("ema", "enabled"),
    ("tensorboard", "enabled"),
)
SEARCH_DEFAULTS = (
    ("tune", "repeats"),
    ("tune", "target"),
    ("tune", "warm_start"),
    ("tune", "max_concurrent_trials"),
    ("failure", "max_retries"),
    ("failure", "epoch_timeout"),
    ("hooks", "on_finish"),
)
"""Keys that stand in the files as comments with their defaults, where they are not set."""


@dataclass(frozen=True)
class Wishes:
    """The user's choices."""

    data: str
    directory: Path
    preset: PresetName = "quick"
    model: str | None = None
    weights: str | None = None
    budget_s: float | None = None
    name: str | None = None
    """The sweep's name; None makes one of the data's name and the preset."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys of the training config -> values."""
    allow_custom_model: bool = False
    command: str = "sweep init"
    """The command line, for the files' first lines."""

    @property
    def options(self) -> list[str]:
        """The words of the command line from its first option on."""
        words = shlex.split(self.command)
        first = (number for number, word in enumerate(words) if word.startswith("--"))
        return words[next(first, len(words)) :]


@dataclass(frozen=True)
class Draft:
    """Two files that have been checked and are not written yet."""

    wishes: Wishes
    given: Conditions
    size: Size
    plan: Plan
    training_text: str
    search_text: str
    notes: Sequence[str]
    """Lines for the user on the data and on the choices."""
    expected: str
    """The expected time, and where it is from."""

    @property
    def spec(self) -> SearchSpec:
        """The parsed search file."""
        return self.plan.spec


def make_draft(wishes: Wishes, machine: Machine, *, probes: bool = False) -> Draft:
    """Looks at the data and drafts both files for them.

    Args:
        wishes: What the user has said.
        machine: The machine that the sweep will run on.
        probes: Whether to train a few batches to measure what an epoch costs.

    Raises:
        TuneSweepsError: A file exists, or the data, the model or a value cannot be used.
    """
    refuse_existing(wishes.directory, options=wishes.options)
    _check_name(wishes)
    section, notes = read_source(wishes.data)
    changed = {
        key.removeprefix("dataset."): value
        for key, value in wishes.changes.items()
        if key.startswith("dataset.") and key.count(".") == 1
    }
    facts = read_facts({**section, **changed}, allow_custom_model=wishes.allow_custom_model)
    model = _choose_model(wishes, facts, machine)
    if machine.idle_gpus:
        notes.append(f"torch cannot use {machine.idle_gpus} of the GPUs; see sweep doctor")
    given = Conditions(
        facts, machine, model, wishes.preset, wishes.budget_s, changes=wishes.changes
    )
    notes += model.notes
    draft = _draft(wishes, given, notes)
    refuse_failing_sweep(draft.spec, Options(wishes.allow_custom_model))
    if not probes:
        return draft
    again = replace(given, slowness=_measure_slowness(draft), is_measured=True)
    return _draft(wishes, again, notes)


def _choose_model(wishes: Wishes, facts: DataFacts, machine: Machine) -> ModelChoice:
    """Chooses the model; `--set model.name` and `model.pretrained` count like the options."""
    pretrained = wishes.changes.get("model.pretrained")
    weights = wishes.weights or (pretrained if isinstance(pretrained, str) else None)
    name = wishes.model or wishes.changes.get("model.name")
    choice = choose_model(facts, machine, wishes.preset, name, weights)
    return replace(choice, pretrained=False) if pretrained is False else choice


def _measure_slowness(draft: Draft) -> float:
    """Trains a few batches and returns the time of an epoch by the estimated one."""
    few = replace(draft.plan, draws=draft.plan.draws[:PROBED_DRAWS])
    draws = probe(few, allow_custom_model=draft.wishes.allow_custom_model)
    epoch_s = max(draw.cost.epoch_s for draw in draws)
    return epoch_s / estimate_probed_s(draft.size, draft.given)


def _draft(wishes: Wishes, given: Conditions, notes: Sequence[str]) -> Draft:
    size = choose_size(given)
    settings = change_settings(list_training_settings(given, size), wishes.changes)
    name = wishes.name or _choose_name(wishes, given.facts)
    searched = [
        setting
        for setting in list_search_settings(given, size, name, TRAINING)
        if setting.path[0] != "space" or not _is_set(setting.path[-1], wishes.changes)
    ]
    expected = _describe_time(size, given)
    spec = _parse(render((), settings), render((), searched), wishes)
    settings += _list_defaults(TRAINING_DEFAULTS, spec.training)
    searched += _list_defaults(SEARCH_DEFAULTS, spec)
    training_text = render(_training_header(wishes, given), _sort(settings))
    search_text = render(_search_header(wishes, expected), _sort(searched))
    spec = _parse(training_text, search_text, wishes)
    plan = make_plan(spec, given.machine.resources)
    return Draft(wishes, given, size, plan, training_text, search_text, notes, expected)


def _is_set(key: str, changes: Mapping[str, Any]) -> bool:
    """Returns whether the user has set a key, so that the space must not vary it."""
    return any(f"{key}.".startswith(f"{changed}.") for changed in changes)


def _parse(training_text: str, search_text: str, wishes: Wishes) -> SearchSpec:
    """Reads both files as `sweep run` does."""
    config, document = parse_yaml(training_text, TRAINING), parse_yaml(search_text, SEARCH)
    values = {**document.data, "config": config.data}
    return parse_search(Document(values, document.lines, SEARCH), directory=wishes.directory)


def _list_defaults(paths: Sequence[tuple[str, str]], parsed: Any) -> Iterator[Setting]:
    for path in paths:
        setting = default_setting(path, getattr(parsed, path[0]))
        if setting is not None:
            yield setting


def _sort(settings: Sequence[Setting]) -> list[Setting]:
    """Puts the settings of a section together, in the order of their first one."""
    order = list(dict.fromkeys(setting.path[0] for setting in settings))
    return sorted(settings, key=lambda setting: order.index(setting.path[0]))


def _training_header(wishes: Wishes, given: Conditions) -> Iterator[str]:
    path = wishes.directory / TRAINING
    yield train_command(path, allow_custom_model=wishes.allow_custom_model)
    yield f"Written by: {wishes.command}"
    yield f"{describe_data(given.facts)}; {given.machine.describe()}."
    yield "All keys: sweep schema training. A key that is swept has its value from search.yaml."


def _search_header(wishes: Wishes, expected: str) -> Iterator[str]:
    yield run_command(wishes)
    yield f"Written by: {wishes.command}"
    yield f"Expected time: {expected}."
    yield "All keys: sweep schema search."


def run_command(wishes: Wishes) -> str:
    """Returns the command that runs the sweep."""
    path = wishes.directory / SEARCH
    return sweep_command("run", path, allow_custom_model=wishes.allow_custom_model)


def describe_data(facts: DataFacts) -> str:
    """Returns e.g. `403 images in 6 classes: 326 to train, 77 to test`."""
    if not facts.is_counted:
        return f"images in {facts.classes} classes, which were not counted"
    val = f", {facts.val} to validate" if facts.val > UNCOUNTED else ""
    text = f"{facts.images} images in {facts.classes} classes: {facts.train} to train{val}"
    return f"{text}, {facts.test} to test"


def _describe_time(size: Size, given: Conditions) -> str:
    source = "by a few batches that were trained here" if given.is_measured else "a rough estimate"
    text = f"about {format_duration(size.seconds)}, {source}; the budget is "
    text += format_budget(size.budget_s)
    return text if size.fits else f"{text}, after which the sweep pauses"


def _choose_name(wishes: Wishes, facts: DataFacts) -> str:
    """Returns a name that no sweep has yet."""
    section = facts.section
    path = Path(str(section.get("root", ".")))
    if section["name"] == "image_folder":
        is_named = path.name not in ("", "..")  # a link has the name that the user gave it
        base = path.name if is_named else path.resolve().name
    else:
        base = Path(str(section.get("file", section["name"]))).stem
    base = re.sub(r"[^\w.-]+", "_", base.rpartition(":")[2]).strip("._-") or "sweep"
    name, number = f"{base}_{wishes.preset}", 2
    free = name
    while Path(EXPERIMENTS, free).exists():
        free, number = f"{name}_{number}", number + 1
    return free


def _check_name(wishes: Wishes) -> None:
    """Checks the name that the user has given.

    Raises:
        TuneSweepsError: The name is not valid, or such a sweep exists.
    """
    if wishes.name is None:
        return
    try:
        check_directory_name(wishes.name)
    except ValueError as error:
        raise ConfigError("the command line", [Problem("--name", str(error))]) from error
    if Path(EXPERIMENTS, wishes.name).exists():
        raise TuneSweepsError(
            f"--name {wishes.name}: {EXPERIMENTS}/{wishes.name} exists; choose another name"
        )


def write_draft(draft: Draft) -> list[Path]:
    """Writes both files and returns their paths."""
    directory = draft.wishes.directory
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / TRAINING, directory / SEARCH]
    for path, text in zip(paths, (draft.training_text, draft.search_text), strict=True):
        write_text(path, text)
    return paths
