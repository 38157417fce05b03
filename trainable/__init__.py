"""Trains one image classifier; knows nothing of sweeps.

Read in this order: `config` (every key), `training` (the epoch loop and all state of one
training), `artifacts` and `experiment` (what is on disk; `experiment.fit` is a training on
its own), `ray_trial` (the same as a Ray Tune trial).
"""
