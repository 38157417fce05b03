"""The sweeps in a directory, in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.api.times import convert_times
from sweeps.storage.location import resolve

if TYPE_CHECKING:
    import pandas as pd


def list_sweeps(directory: str | Path = "experiments") -> pd.DataFrame:
    """Lists the sweeps in a directory, newest first, as `sweep list` does.

    Example:
        ```python
        from sweeps import list_sweeps, load_sweep

        for path in list_sweeps("experiments")["directory"]:
            print(load_sweep(path))
        ```

    Args:
        directory: A path, or a URI in object storage.

    Returns:
        One row per sweep: `name`, `directory`, `state`, `started`, `ended` and `total` (numbers
        of trials), `metric`, `best` and `trial` (that of the best trial, and its id), and `error`
        if it cannot be read.

    Raises:
        SweepError: There is no such directory.
    """
    import pandas as pd

    from sweeps.results.status import list_values

    columns = ("name", "directory", "state", "started", "ended", "total", "metric")
    rows = []
    for values in list_values(resolve(directory)):
        best = values.get("best") or {}
        row = {name: values.get(name) for name in columns}
        rows.append(
            {
                **row,
                "best": best.get("value"),
                "trial": best.get("trial"),
                "error": values.get("error"),
            }
        )
    return convert_times(
        pd.DataFrame(rows, columns=[*columns, "best", "trial", "error"]), ["started"]
    )
