"""All errors that the package raises for its user, with a text that says what to do.

Every class derives from `TuneSweepsError`, so one `except` catches them all; any other exception
is a bug. The command line prints the same texts and exits with code 2.

Example:
    ```python
    from sweeps import load_sweep
    from sweeps.errors import SweepError, TuneSweepsError

    try:
        sweep = load_sweep("experiments/no_such_sweep")
    except SweepError as error:
        print(error)  # ... there is no such file; is this a sweep's directory?
    ```

Importing this module loads neither torch nor Ray.
"""

from sweeps.sweep_dir.errors import SweepError, SweepRunningError
from trainable.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DiskFullError,
    ExperimentError,
    ExportError,
    LostWorkerError,
    ModelError,
    PathError,
    Problem,
    StorageError,
    TuneSweepsError,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DiskFullError",
    "ExperimentError",
    "ExportError",
    "LostWorkerError",
    "ModelError",
    "PathError",
    "Problem",
    "StorageError",
    "SweepError",
    "SweepRunningError",
    "TuneSweepsError",
]
