"""Which trials keep their weights: `keep.trials` of the search file."""

from __future__ import annotations

import shutil
from pathlib import Path

from sweeps.layout import ENDED
from sweeps.results import read_results
from sweeps.spec import SearchSpec


def prune_weights(directory: Path, spec: SearchSpec) -> list[str]:
    """Deletes the checkpoints of ended trials below the best that are to keep theirs.

    Configs, metrics and curves stay. Trials that have not ended are never touched.

    Args:
        directory: The sweep's.
        spec: Its search file.

    Returns:
        Names of the trial directories that lost their weights.
    """
    if spec.keep.trials == "all":
        return []
    pruned = []
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode)
    ended = [result for result in ranked if result.record.state in ENDED]
    for result in ended[spec.keep.trials :]:
        checkpoints = result.directory / "checkpoints"
        files = [*checkpoints.glob("*.pt"), *result.directory.glob("checkpoint_*")]
        for path in files:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if files:
            pruned.append(result.directory.name)
    return pruned
