"""Reads the numbers back that a figure of `sweep ui` carries as base64."""

import base64
import math
from typing import Any

import numpy as np


def unpack(packed: dict[str, str]) -> list[float | None]:
    """Returns the numbers of an array; None for a gap."""
    assert packed["dtype"] == "f4"
    array = np.frombuffer(base64.b64decode(packed["bdata"]), dtype="<f4")
    return [None if math.isnan(value) else round(float(value), 6) for value in array]


def lines_of(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns name -> trace of a figure's traces that have one."""
    return {trace["name"]: trace for trace in figure["data"] if "name" in trace}
