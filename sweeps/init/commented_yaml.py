"""Formats settings as a YAML file with a comment on every key."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from trainable.config.yaml_reader import dump_flow

COMMENT_COLUMN = 46
"""Column up to which comments of a section are aligned; longer entries push theirs out."""
MAX_COLUMNS = 118
"""Columns of a line; a comment that does not fit stands above its key."""
MIN_COMMENT = 24
"""Columns that the comment on a default has at least."""
INDENT = "  "


@dataclass(frozen=True)
class Setting:
    """One key of a file."""

    path: tuple[str, ...]
    """One key, or a section and a key of it."""
    value: Any
    why: str
    """The comment: why the key has this value."""
    is_default: bool = False
    """Whether the line is commented out, because the value is the default."""


def render(header: Iterable[str], settings: Sequence[Setting]) -> str:
    """Returns the text of a file.

    Args:
        header: Lines of the comment at the top.
        settings: The keys in order; those of a section stand together.
    """
    lines = [f"# {line}".rstrip() for line in header]
    for (section, is_nested), group in groupby(
        settings, key=lambda setting: (setting.path[0], len(setting.path) > 1)
    ):
        members = list(group)
        if is_nested:
            lines.append(f"{section}:")
        lines += _render_group(members, INDENT if is_nested else "")
    return "\n".join(lines) + "\n"


def _render_group(settings: Sequence[Setting], indent: str) -> Iterator[str]:
    entries = [_format_entry(setting, indent) for setting in settings]
    width = min(COMMENT_COLUMN, max(map(len, entries)))
    for entry, setting in zip(entries, settings, strict=True):
        start = f"{entry:<{width}}  # "
        if setting.is_default:
            room = max(MIN_COMMENT, MAX_COLUMNS - len(start))
            yield start + textwrap.shorten(setting.why, room, placeholder=" ...")
        elif len(start) + len(setting.why) > MAX_COLUMNS:
            yield f"{indent}# {setting.why}"
            yield entry
        else:
            yield start + setting.why


def _format_entry(setting: Setting, indent: str) -> str:
    mark = "# " if setting.is_default else ""
    return f"{indent}{mark}{dump_flow(setting.path[-1])}: {dump_flow(setting.value)}"


def default_setting(path: tuple[str, ...], section: BaseModel) -> Setting | None:
    """Returns a commented line with the default of a key and the first words of its description.

    Args:
        path: The section's name and the key.
        section: The section as it was parsed.

    Returns:
        None if the section has no such key, or the key is set or has no default.
    """
    key = path[-1]
    field = type(section).model_fields.get(key)
    if field is None or field.is_required() or key in section.model_fields_set:
        return None
    value = section.model_dump(mode="json")[key]
    return Setting(path, value, f"default. {_first_sentence(field.description or key)}", True)


def _first_sentence(text: str) -> str:
    """Returns the first sentence of a docstring on one line, without a dot at its end."""
    line = " ".join(text.split())
    return re.split(r"(?<=[\w`)])(?:[.;] (?=\W*[A-Z`a-z])|\.$|: `)", line, maxsplit=1)[0]
