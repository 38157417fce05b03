"""Trains one image classifier; does not import `sweeps`.

Read in this order: `config` (every key), `training` (the epoch loop and the state of a training),
`artifacts` and `experiment` (the files on disk; `experiment.fit` trains without a sweep),
`ray_trial` (a training as a Ray Tune trial).
"""
