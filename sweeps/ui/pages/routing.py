"""Addresses of the pages, and which page an address shows."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

from dash.development.base_component import Component

from sweeps.ui.pages import compare, sweep, sweep_list, trial
from sweeps.ui.pages.parts import missing_page
from sweeps.ui.site import Site


def layout(site: Site, path: str, query: str) -> Component:
    """Returns the page of an address.

    Args:
        site: The site.
        path: The path of the address.
        query: Its part from `?` on.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts == [""]:
        return sweep_list.layout(site)
    if parts[0] != "sweep" or len(parts) < 2:
        return missing_page("There is no such page.")
    view = site.cache.view(parts[1])
    if view is None:
        return missing_page("There is no such sweep.")
    match parts[2:]:
        case []:
            return sweep.layout(site, view)
        case ["trial", trial_id]:
            return trial.layout(site, view, trial_id)
        case ["compare"]:
            chosen = parse_qs(query.lstrip("?")).get("trials", [""])[0]
            return compare.layout(site, view, [name for name in chosen.split(",") if name])
    return missing_page("There is no such page.")
