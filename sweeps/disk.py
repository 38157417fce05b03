"""Which trials keep their weights: `keep.trials` of the search file."""

from __future__ import annotations

import shutil
from pathlib import Path

from sweeps.layout import ENDED
from sweeps.places import desk_of
from sweeps.results import read_results
from sweeps.spec import SearchSpec


def surplus_weights(directory: Path, spec: SearchSpec) -> list[Path]:
    """The checkpoints of ended trials below the best that are to keep theirs.

    Args:
        directory: The sweep's.
        spec: Its search file.

    Returns:
        Files, and checkpoint directories of Tune's own.
    """
    if spec.keep.trials == "all":
        return []
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode)
    ended = [result.directory for result in ranked if result.record.state in ENDED]
    return [
        path
        for trial in ended[spec.keep.trials :]
        for path in (*trial.glob("checkpoints/*.pt"), *trial.glob("checkpoint_*"))
    ]


def prune_weights(directory: Path, spec: SearchSpec) -> list[str]:
    """Deletes the checkpoints of ended trials below the best that are to keep theirs.

    Configs, metrics and curves stay. Trials that have not ended are never touched.

    Args:
        directory: The sweep's.
        spec: Its search file.

    Returns:
        Names of the trial directories that lost their weights.
    """
    paths = surplus_weights(directory, spec)
    desk = desk_of(directory)
    if desk is not None:
        desk.delete(name for path in paths for name in desk.objects(path))
    for path in paths:
        delete(path)
    return list(dict.fromkeys(path.relative_to(directory).parts[0] for path in paths))


def delete(path: Path) -> None:
    """Deletes a file, or a directory with all that is in it, wherever it really is."""
    desk = desk_of(path)
    if desk is not None:
        desk.delete(desk.objects(path))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
