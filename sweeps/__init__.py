"""Decides what is tried and launches it; the only package a sweep's user reads.

search file -> `spec` (checked) -> `search` (proposes values) -> `trial_source` (hands trials to
Tune) -> `trainable.classifier` (trains them) -> the layout on disk -> `results` -> `report`.
"""
