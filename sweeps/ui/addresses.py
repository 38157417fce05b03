"""Addresses of the pages of `sweep ui`."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote


def sweep_path(key: str) -> str:
    """Returns the address of a sweep's page."""
    return f"/sweep/{quote(key, safe='')}"


def trial_path(key: str, trial: str) -> str:
    """Returns the address of the page of a trial, which is named by its id."""
    return f"{sweep_path(key)}/trial/{quote(trial, safe='')}"


def compare_path(key: str, trials: Iterable[str]) -> str:
    """Returns the address of the page that compares trials, which are named by their ids."""
    return f"{sweep_path(key)}/compare?trials={quote(','.join(trials), safe=',')}"
