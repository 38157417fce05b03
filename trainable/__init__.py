"""Trains one image classifier; does not import `sweeps`.

Read in this order: `config` (every key), `training` (the epoch loop and the state of a training),
`artifacts` and `experiment` (the files on disk; `experiment.fit` trains without a sweep),
`ray_trial` (a training as a Ray Tune trial).
"""

import os

# Without it, MKL adds up in an order that depends on where in memory a matrix begins, so that one
# training gives other weights on some CPUs (seen on AMD EPYC) each time that it runs. MKL reads
# the variable at its first call.
os.environ.setdefault("MKL_CBWR", "AUTO")
