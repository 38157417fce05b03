"""The pages in docs/ list every key of the search file and the training config, with defaults."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sweeps.space.parsing import ARGUMENTS
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from trainable.config import MODEL_NAMES, ModelConfig, TrainConfig, load_config, parse_config
from trainable.config.introspection import names_of, options
from trainable.config.yaml_reader import parse_yaml

ROOT = Path(__file__).parents[2]
PAGES = [
    (ROOT / "docs" / "reference" / "search_file.md", SearchSpec),
    (ROOT / "docs" / "reference" / "training_config.md", TrainConfig),
]

NO_DEFAULT = {"required", "by metric", "drawn"}
"""Defaults that the pages write where the schema has none of its own."""

OWN_CODE = "module:callable"

BESIDE = {"dataset.fold": {"folds": 5}, "model.batch_norm": {"pretrained": True}}
"""Key -> others that its example needs."""

COLUMNS = ["key", "type", "default", "example", "meaning"]

Rows = dict[str, dict[str, str]]
"""Key -> the cells of its row as a page writes them, by column."""


def tables(page: Path) -> dict[str, Rows]:
    """Heading without its marks -> the rows of the key table below it; "" is the page's top."""
    page_tables: dict[str, Rows] = {"": {}}
    heading, in_table = "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## ") or line.startswith("###"):
            heading = line.lstrip("# ").replace("`", "")
            page_tables[heading] = {}
        elif line.startswith("| key |"):
            assert line.strip("| ").split(" | ") == COLUMNS, f"{page.name}: {heading}"
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ", len(COLUMNS) - 1)]
            row = dict(zip(COLUMNS, cells, strict=True))
            page_tables[heading][row["key"].strip("`")] = row
    return page_tables


def sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section below a model: its dotted key, and each kind that it can be of."""
    for key, field in model.model_fields.items():
        for kind in options(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield prefix + key, kind
                yield from sections(kind, f"{prefix}{key}.")


def labels(kind: type[BaseModel]) -> tuple[str | None, ...]:
    """The names in the headings of one kind of a section."""
    is_own_code = ":" in (getattr(kind, "open_names", None) or "")
    return tuple(names_of(kind)) or ((OWN_CODE if is_own_code else None),)


def documented(page_tables: dict[str, Rows], section: str, name: str | None) -> Rows:
    """The rows of one kind of a section: those that all kinds share, then its own."""
    return {**page_tables[section], **page_tables.get(f"{section} with name: {name}", {})}


def default_of(model: type[BaseModel], key: str) -> Any:
    field = model.model_fields[key]
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return getattr(default, "name", {})
    return list(default) if isinstance(default, tuple) else default


def value_of(cell: str) -> Any:
    """The YAML value in a cell."""
    return parse_yaml(f"value: {cell.strip('`')}", cell).data["value"]


def assert_rows_match(rows: Rows, model: type[BaseModel], where: str) -> None:
    assert set(rows) == set(model.model_fields), where
    for key, row in rows.items():
        default = row["default"]
        assert all(row.values()), f"{where}.{key}"
        if key == "name" and (names_of(model) or getattr(model, "open_names", None)):
            continue  # shared by several kinds of the section, of which one may be the default
        if model.model_fields[key].is_required():
            assert default in NO_DEFAULT, f"{where}.{key}"
            continue
        assert default.startswith("`"), f"{where}.{key}"
        assert value_of(default) == default_of(model, key), f"{where}.{key}"


@pytest.mark.parametrize(("page", "model"), PAGES, ids=lambda value: getattr(value, "stem", ""))
def test_every_key_is_documented_with_its_default(page: Path, model: type[BaseModel]) -> None:
    page_tables = tables(page)
    if page_tables[""]:
        assert_rows_match(page_tables[""], model, page.stem)
    for section, kind in sections(model):
        for name in labels(kind):
            where = f"{page.name}: {section} {name or ''}"
            assert_rows_match(documented(page_tables, section, name), kind, where)


@pytest.mark.parametrize(("page", "model"), PAGES, ids=lambda value: getattr(value, "stem", ""))
def test_the_default_kind_of_a_section_is_documented(page: Path, model: type[BaseModel]) -> None:
    page_tables = tables(page)
    by_section: dict[str, set[str]] = {}
    for section, kind in sections(model):
        if names_of(kind):
            field = kind.model_fields["name"]
            default = set() if field.is_required() else {f"`{field.default}`"}
            by_section[section] = by_section.get(section, set()) | default
    assert by_section
    for section, default in by_section.items():
        assert {page_tables[section]["name"]["default"]} == (default or {"required"}), section


@pytest.mark.parametrize(("page", "model"), PAGES, ids=lambda value: getattr(value, "stem", ""))
def test_every_heading_with_a_table_is_a_section_of_the_schema(
    page: Path, model: type[BaseModel]
) -> None:
    headings = {""}
    for section, kind in sections(model):
        headings |= {section, *(f"{section} with name: {name}" for name in labels(kind))}
    assert {heading for heading, rows in tables(page).items() if rows} <= headings


@pytest.mark.parametrize(("page", "model"), PAGES, ids=lambda value: getattr(value, "stem", ""))
def test_every_name_that_a_section_can_have_is_written(page: Path, model: type[BaseModel]) -> None:
    text = page.read_text(encoding="utf-8")
    names = {name for _, kind in sections(model) for name in names_of(kind)}
    names |= set(MODEL_NAMES) if model is TrainConfig else set()
    assert names
    assert not {name for name in names if f"`{name}`" not in text}


def test_every_distribution_is_written_with_its_arguments() -> None:
    text = (ROOT / "docs" / "reference" / "search_file.md").read_text(encoding="utf-8")
    written = {kind: f"[{names}]" for kind, names in ARGUMENTS.items()}
    written |= {"expr": "text", "zip": "{key: [a, b, ...]}"}
    assert not [row for row in written.items() if f"| `{{{row[0]}: {row[1]}}}` |" not in text]


def examples(page: Path, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel], Rows]]:
    """Every kind of section of a page with the rows that it has."""
    page_tables = tables(page)
    if page_tables[""]:
        yield "", model, page_tables[""]
    for section, kind in sections(model):
        for name in labels(kind):
            yield f"{section} {name or ''}", kind, documented(page_tables, section, name)


@pytest.mark.parametrize(("page", "model"), PAGES, ids=lambda value: getattr(value, "stem", ""))
def test_every_example_is_good(page: Path, model: type[BaseModel]) -> None:
    """Each is set in a section that has what it needs besides; the section's rules then hold."""
    for where, kind, rows in examples(page, model):
        if kind is SearchSpec:
            continue
        needed = {
            key: value_of(rows[key]["example"])
            for key, field in kind.model_fields.items()
            if field.is_required()
        }
        if names_of(kind):
            needed["name"] = names_of(kind)[0]
        for key, row in rows.items():
            if key == "name" and names_of(kind):
                continue
            value = value_of(row["example"])
            if kind is ModelConfig:
                needed["name"] = "timm/resnet18"  # has weights of its own and takes arguments
            beside = BESIDE.get(f"{where.split()[0]}.{key}", {})
            assert kind.model_validate({**needed, **beside, key: value}), f"{where}.{key}"


def test_every_example_of_the_search_files_top_is_good() -> None:
    rows = tables(ROOT / "docs" / "reference" / "search_file.md")[""]
    needed = {key: value_of(rows[key]["example"]) for key in ("config", "space", "tune")}
    for key, row in rows.items():
        search = {**needed, key: value_of(row["example"])}
        assert parse_search(search, directory=ROOT / "configs").tune.num_samples == 16


@pytest.mark.parametrize(("page", "model"), PAGES, ids=lambda value: getattr(value, "stem", ""))
def test_an_example_shows_something_else_than_the_default(
    page: Path, model: type[BaseModel]
) -> None:
    for where, _, rows in examples(page, model):
        for key, row in rows.items():
            alone = row["type"] == row["default"]  # there is no other value
            assert alone or row["example"] != row["default"], f"{where}.{key}"


def test_the_examples_of_the_pages_are_accepted() -> None:
    blocks = {
        page.stem: re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for page, _ in PAGES
    }
    (space,) = blocks["search_file"]
    config, *parts = blocks["training_config"]
    assert parts
    for part in parts:
        parse_config({**parse_yaml(config, "page").data, **parse_yaml(part, "page").data})
    assert parse_config(parse_yaml(config, "training_config.md")).training.epochs == 12
    digits = load_config(ROOT / "configs" / "resnet20_digits.yaml").to_dict()
    search = {**parse_yaml(space, "search_file.md").data, "config": digits}
    spec = parse_search({**search, "tune": {"num_samples": 3}})
    assert (len(spec.space), len(spec.constraints)) == (5, 1)
