"""Reads the search file and the trial records that a sweep directory holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sweeps.spec.load import parse_search
from sweeps.spec.search_algorithms import replace_removed_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import drop_url_hooks
from sweeps.storage.location import checkpoint_dir_of
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from trainable.config.override import override
from trainable.config.yaml_reader import Document, read_yaml


def open_sweep(directory: Path) -> tuple[SearchSpec, list[TrialRecord]]:
    """Reads a sweep's search file and trials, also if its directory has been moved.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: The search file is broken.
    """
    directory = directory.absolute()
    layout = SweepLayout(directory)
    layout.read_sweep()
    document = read_yaml(layout.search_file)
    data = dict(document.data)
    if isinstance(data.get("config"), Mapping):
        data["config"] = override(data["config"], {"checkpoint.dir": checkpoint_dir_of(directory)})
    if "hooks" in data:
        data["hooks"] = drop_url_hooks(data["hooks"])
    if "tune" in data:
        data["tune"] = replace_removed_search(data["tune"])
    document = Document(data, document.lines, document.source)
    spec = parse_search(document, directory=directory, is_recorded=True)
    return spec, layout.read_trials()
