"""Reads sweeps from disk: results, ranking, progress, export, retention."""
