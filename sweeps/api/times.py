"""Times as the Python API returns them: aware `datetime` objects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS = ("created", "started", "ended")
"""Columns of the table of trials that hold times."""


def to_datetime(text: str | None) -> datetime | None:
    """Returns a recorded time, which has its UTC offset, as an aware `datetime`."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.astimezone()


def convert_times(frame: pd.DataFrame, columns: Sequence[str] = TIME_COLUMNS) -> pd.DataFrame:
    """Replaces the recorded times of a table by times in UTC (`datetime64[ns, UTC]`).

    Args:
        frame: The table.
        columns: Those of its columns that hold times.
    """
    import pandas as pd

    converted = {
        name: pd.to_datetime(frame[name], utc=True, format="ISO8601").astype("datetime64[ns, UTC]")
        for name in columns
        if name in frame  # there is none without rows
    }
    return frame.assign(**converted)
