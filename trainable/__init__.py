"""Trains one image classifier; knows nothing of sweeps.

Read in this order: `config` (every key), `epoch` (the epoch loop), `trainer` (all state of one
training), `checkpoint` and `experiment` (what is on disk), `fit` (a training on its own),
`classifier` (the same as a Ray Tune trial).
"""
