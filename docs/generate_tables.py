"""Writes the tables of keys in search_file.md and training_config.md from the models.

    python docs/generate_tables.py [--check]

A table stands below the heading of its section, such as "## `training`" or "### `optimizer` with
`name: sgd`". Its rows are the keys in their order there; a key that the page lacks is added to the
table of its section. Types, defaults, examples and meanings are those of the JSON schemas, which
pydantic makes from the models and their docstrings. The file from which shells complete commands
and keys is written too. `--check` writes nothing and fails if a page or that file is not current.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

from sweeps.cli.main import main as sweep
from sweeps.cli.shell.command_tree import completion_data
from sweeps.cli.shell.keys import list_assignable_keys
from sweeps.cli.shell.parameter_types import COMMANDS_FILE
from sweeps.init.examples import list_examples
from sweeps.spec.json_schema import search_schema, training_schema

Schema = dict[str, Any]

PAGES_AT = Path(__file__).parent / "reference"
PAGES = {
    "search_file.md": partial(search_schema, with_nulls=False),
    "training_config.md": partial(training_schema, with_nulls=False),
}
HEADER = ["| key | type | default | example | meaning |", "|---|---|---|---|---|"]
MAX_LISTED = 10
"""Longer lists of names stand in a table of their own on the page."""
OWN_CODE = "module:callable"
"""Stands for the names of the user's own code."""
HEADING = re.compile(r"#+ `(?P<section>[\w.]+)`(?: with `name: (?P<name>[\w:]+)`)?$")


class Schemas:
    """Finds sections in a JSON schema.

    Args:
        root: The schema of a whole file.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root

    def kinds(self, section: str) -> list[Schema]:
        """Returns the schemas that a section can have, one for each kind of it.

        Args:
            section: The dotted key; empty for the top of the file.
        """
        kinds = [self._root]
        for key in section.split(".") if section else ():
            kinds = [kind for schema in kinds for kind in self._objects(schema["properties"][key])]
        return kinds

    def property_of(self, section: str) -> Schema:
        """Returns the schema of a section's key in the section above it."""
        above, _, key = section.rpartition(".")
        schema: Schema = self.kinds(above)[0]["properties"][key]
        return schema

    def _objects(self, schema: Schema) -> list[Schema]:
        if "$ref" in schema:
            return [self._root["$defs"][schema["$ref"].rpartition("/")[2]]]
        parts = schema.get("anyOf", []) + schema.get("oneOf", [])
        return [kind for part in parts for kind in self._objects(part)]


def names_of(kind: Schema) -> list[str]:
    """Returns the values of `name` in a kind of a section that is chosen by it."""
    name = kind.get("properties", {}).get("name", {})
    if name.get("pattern", "").startswith(r"^\w+(\.\w+)*:"):
        return [OWN_CODE]
    return list(name.get("enum", [name["const"]] if "const" in name else []))


def row(key: str, schema: Schema, *, required: bool, anchor: str | None = None) -> str:
    """Returns the row of a key.

    Args:
        key: The last part of its dotted key.
        schema: The key's own.
        required: Whether a file must have it.
        anchor: Of the key's own heading on the page, if it has one.
    """
    default = "required" if required else schema.get("x-default") or default_of(schema)
    example = code(schema["examples"][0]) if "examples" in schema else default
    meaning = schema.get("description", "").replace("|", "\\|")
    if anchor is not None and meaning.count(". ") == 0:
        meaning = f"[{meaning.rstrip('.')}](#{anchor})."
    return f"| `{key}` | {type_of(schema)} | {default} | {example} | {meaning} |"


def default_of(schema: Schema) -> str:
    """Returns a key's default; of a section, its name or an empty mapping."""
    default = schema.get("default")
    return code(default.get("name", {}) if isinstance(default, dict) else default)


def name_row(section: str, schemas: Schemas) -> str:
    """Returns the row of a section's `name`, which chooses the section's kind."""
    schema = schemas.property_of(section)
    names = [name for kind in schemas.kinds(section) for name in names_of(kind)]
    values = {"default": schema.get("default"), "examples": schema.get("examples", [None])[0]}
    default, example = (v.get("name") if isinstance(v, dict) else v for v in values.values())
    shown = {**schema, "default": default, "examples": [example], "x-type": listed(names)}
    return row("name", shown, required=default is None)


def type_of(schema: Schema) -> str:
    """Returns a schema's type in words."""
    if "x-type" in schema:
        return str(schema["x-type"])
    if "anyOf" in schema:
        parts = [part for option in schema["anyOf"] for part in alternatives(option)]
        parts.sort(key="`null`".__eq__)  # null comes last
        before = ", ".join(parts[:-1])
        return f"{before}{',' if ',' in parts[-2] else ''} or {parts[-1]}"
    return " or ".join(alternatives(schema))


def alternatives(schema: Schema) -> list[str]:
    """Returns what a schema without `anyOf` takes, in words."""
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        if len(values) > MAX_LISTED:
            return ["a name below"]
        return [code(value) for value in values] if len(values) < 2 else [listed(values)]
    kind = schema.get("type")
    if kind == "boolean":
        return ["true", "false"]
    if kind in ("integer", "number"):
        return [("whole number" if kind == "integer" else "number") + bounds(schema)]
    if kind == "array":
        return [array_type(schema)]
    words = {"string": schema.get("format", "text"), "null": "`null`"}
    return [words.get(str(kind), "mapping")]


def array_type(schema: Schema) -> str:
    """Returns the type of a list in words."""
    items = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
    words = {"integer": "whole numbers", "number": "numbers", "string": "texts"}
    counts = {2: "two", 3: "three"}
    item = words.get(items.get("type"), "values") + bounds(items)
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = f"{counts.get(least, least)} " if least is not None and least == most else ""
    return f"list of {count}{item}"


def bounds(schema: Schema) -> str:
    """Returns the limits of a number in words."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if below is not None and below >= 2**53:  # of the number format, not of the key
        below = None
    if schema.get("type") == "integer" and above is not None:
        low, above = above + 1, None
    left = f"[{low:g}" if low is not None else f"({above:g}" if above is not None else ""
    right = f"{high:g}]" if high is not None else f"{below:g})" if below is not None else ""
    if left and right:
        return f" in {left}, {right}"
    if left:
        return f", at least {low:g}" if low is not None else f" above {above:g}"
    return ""


def listed(values: list[Any]) -> str:
    """Returns values as "`a`, `b` or `c`"."""
    words = [code(value) for value in values]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def code(value: Any) -> str:
    """Returns a value as YAML would have it, in backticks."""
    if value == "":
        return '`""`'
    if isinstance(value, float):
        return f"`{plain_number(value)}`"
    return f"`{flow(value)}`"


def flow(value: Any) -> str:
    """Returns a value in YAML's flow style, on one line."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: item[0] != "name")
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, str):
        needs_quotes = re.search(r"[,\[\]{}]|: | #|^[*&<>|%@!]", value)
        return json.dumps(value) if needs_quotes else value
    return json.dumps(value)


def plain_number(value: float) -> str:
    """Returns a number without the zeros that Python puts into its exponent."""
    return re.sub(r"e([+-])0*(\d)", lambda part: f"e{part[1].strip('+')}{part[2]}", repr(value))


def rows_of(heading: str, keys: list[str], schemas: Schemas, text: str) -> list[str]:
    """Returns the rows of the table below a heading.

    Args:
        heading: The last heading before the table; empty at the top of the page.
        keys: The keys that the page lists there.
        schemas: Of the page.
        text: The page, for its headings.
    """
    match = HEADING.match(heading)
    section, name = (match["section"], match["name"]) if match else ("", None)
    kinds = schemas.kinds(section)
    if name is not None:
        kinds = [kind for kind in kinds if name in names_of(kind)]
    documented = [key for key in keys if any(key in kind["properties"] for kind in kinds)]
    if len(kinds) == 1 and name is None:
        documented += [key for key in kinds[0]["properties"] if key not in documented]
    rows = []
    for key in documented:
        kind = next(kind for kind in kinds if key in kind["properties"])
        if key == "name" and names_of(kind):
            rows.append(name_row(section, schemas))
        else:
            required = key in kind.get("required", [])
            path = f"{section}.{key}".strip(".")
            anchor = path.replace(".", "") if f"# `{path}`\n" in text else None
            rows.append(row(key, kind["properties"][key], required=required, anchor=anchor))
    return rows


def generate(text: str, schemas: Schemas) -> str:
    """Returns a page with its tables written anew.

    Args:
        text: The page.
        schemas: What it documents.
    """
    lines, result, heading = text.splitlines(), list[str](), ""
    position = 0
    while position < len(lines):
        line = lines[position]
        if line.startswith("#") and HEADING.match(line):
            heading = line
        if line != HEADER[0]:
            result.append(line)
            position += 1
            continue
        end = position
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        keys = [old.split("`")[1] for old in lines[position + 2 : end]]
        result += [*HEADER, *rows_of(heading, keys, schemas, text)]
        position = end
    return "\n".join(result) + "\n"


def main() -> None:
    """Writes or checks the pages and the file of the completion."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if a page is not current")
    check = parser.parse_args().check
    examples = [example.name for example in list_examples()]
    texts = {COMMANDS_FILE: completion_data(sweep, list_assignable_keys(), examples)}
    for name, schema in PAGES.items():
        page = PAGES_AT / name
        texts[page] = generate(page.read_text(encoding="utf-8"), Schemas(schema()))
    outdated = []
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            outdated.append(path.name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and outdated:
        sys.exit(f"not current: {', '.join(outdated)}; run python docs/generate_tables.py")


if __name__ == "__main__":
    main()
