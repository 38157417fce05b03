"""Tune's snapshots make room for a sweep's own records on a full disk."""

from pathlib import Path

from sweeps.execution.tune_overhead import remove_snapshots


def test_only_tunes_own_files_are_removed(tmp_path: Path) -> None:
    snapshots = ["experiment_state-2026-11-28_16-17-55.json", "searcher-state-1.pkl", "tuner.pkl"]
    own = ["sweep.json", "search.yaml", "events.jsonl", "trials.csv"]
    for name in [*snapshots, *own]:
        (tmp_path / name).touch()
    remove_snapshots(tmp_path)
    remove_snapshots(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(own)
