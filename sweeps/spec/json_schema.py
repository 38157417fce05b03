"""JSON schemas of the search file and the training config, for editors.

They are pydantic's, mended where a validator takes more or less than the type beside it says.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import BaseModel

from sweeps.space.parsing import ARGUMENTS
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import METRICS, OBJECTIVES
from sweeps.spec.validation.space import SHARED_KEYS, list_argument_keys, list_config_keys
from trainable.config import MODEL_NAMES, TrainConfig
from trainable.config.introspection import options
from trainable.config.sections.metrics import METRIC_NAMES, SCORES, VALIDATION

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
"""Newest draft that all common editors support."""

DIRECTORY_NAME = r'^$|^(?![.\-\s])[^/\\:*?"<>|]*$'
KEPT = ("description", "default", "examples", "format", "x-default", "x-type")
"""Parts of a key's schema that stay when its rule is replaced."""
NULL: Schema = {"type": "null"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}


def schema_text(kind: str) -> str:
    """Returns the JSON text of a schema, `search` or `training`."""
    schema = search_schema() if kind == "search" else training_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def training_schema(*, with_nulls: bool = True) -> Schema:
    """Returns the schema of a training config.

    Args:
        with_nulls: Whether keys with a default take null, which means it.
    """
    return _finished(_of_training(), "tune-sweeps: a training config", with_nulls=with_nulls)


def search_schema(*, with_nulls: bool = True) -> Schema:
    """Returns the schema of a search file, which includes that of the training config.

    Args:
        with_nulls: Whether keys with a default take null, which means it.
    """
    schema = _described(SearchSpec)
    training = _of_training()
    definitions = {**schema["$defs"], **training.pop("$defs")}
    definitions["TrainConfig"] = training
    definitions["SpaceParameter"] = _entry()
    _mend_sections(definitions)
    _mend_tune(definitions["Tune"], definitions)
    top = schema["properties"]
    _replace(top["name"], {**TEXT, "pattern": DIRECTORY_NAME})
    _replace(top["config"], {"anyOf": [TEXT, {"$ref": "#/$defs/TrainConfig"}]})
    schema["description"] = "What to try in a training config, how, and how often."
    _replace(top["space"], _space())
    _replace(top["constraints"], {"anyOf": [{"type": "array", "items": TEXT}, NULL]})
    for key in ("resources", "failure", "keep", "hooks", "log_to"):
        _replace(top[key], {"anyOf": [{"$ref": top[key].pop("$ref")}, NULL]})
    schema["required"] = ["config", "tune"]
    whole = {**schema, "$defs": definitions}
    return _finished(whole, "tune-sweeps: a search file", with_nulls=with_nulls)


def _of_training() -> Schema:
    schema = _described(TrainConfig)
    model = schema["$defs"]["ModelConfig"]["properties"]["name"]
    own = {**TEXT, "pattern": r"^\w+(\.\w+)*:\w+(\.\w+)*$", "description": "module:callable"}
    library = {**TEXT, "pattern": r"^(timm|torchvision)/[\w-]+(\.[\w.-]+)?$"}
    _replace(model, {"anyOf": [{"enum": list(MODEL_NAMES)}, library, own]})
    own_metric = {**TEXT, "pattern": r"^\w+(\.\w+)*:\w+(\.\w+)*(:(max|min))?$"}
    items = schema["properties"]["metrics"]["items"]
    _replace(items, {"anyOf": [{"enum": list(METRIC_NAMES)}, own_metric]})
    name = schema["$defs"]["CheckpointConfig"]["properties"]["experiment_name"]
    _replace(name, {"anyOf": [{**TEXT, "pattern": DIRECTORY_NAME}, NULL]})
    return schema


def _mend_sections(definitions: Schema) -> None:
    gpu = definitions["Resources"]["properties"]["gpu"]
    part = {**NUMBER, "minimum": 0, "maximum": 1}
    gpu["anyOf"] = [{"const": "auto"}, part, {**INTEGER, "minimum": 0}]
    trials = definitions["Keep"]["properties"]["trials"]
    trials["anyOf"].append({**TEXT, "pattern": r"^\s*top\s+\d+\s*$"})


def _mend_tune(tune: Schema, definitions: Schema) -> None:
    keys = tune["properties"]
    more = [f"{VALIDATION}{name}" for name in SCORES]
    own = {**TEXT, "pattern": rf"^{VALIDATION}\w+$"}
    _replace(keys["metric"], {"anyOf": [{"enum": [*METRICS, *more]}, own]})
    keys["pareto"]["propertyNames"] = {"anyOf": [{"enum": [*OBJECTIVES, *more]}, own]}
    keys["time_budget"]["anyOf"].append({**TEXT, "pattern": r"^\s*\d+(\.\d+)?\s*[smhd]\s*$"})
    for key in ("mode", "num_samples", "seed"):
        rule = {k: v for k, v in keys[key].items() if k != "description"}
        _replace(keys[key], {"anyOf": [rule, NULL]})
    for key in ("search_alg", "scheduler"):
        members = keys[key].pop("oneOf")
        kinds = [definitions[member["$ref"].rpartition("/")[2]] for member in members]
        names = [name for kind in kinds for name in _names(kind)]
        _replace(keys[key], {"anyOf": [{"enum": names}, *members]})
    named = {"type": "object", "required": ["name"], "properties": {"name": {"const": "grid"}}}
    is_grid = {"search_alg": {"anyOf": [{"const": "grid"}, named]}}
    tune["if"] = {"properties": is_grid, "required": ["search_alg"]}
    tune["else"] = {"required": ["num_samples"], "properties": {"num_samples": INTEGER}}
    tune.pop("required")


def _names(section: Schema) -> list[str]:
    """Returns the values of `name` in a section that is chosen by it."""
    name = section["properties"]["name"]
    return list(name.get("enum", [name.get("const")]))


def _space() -> Schema:
    """Returns the schema of a space: every key of the training config that can be swept."""
    entry = {"$ref": "#/$defs/SpaceParameter"}
    keys = [key for key in list_config_keys() if not {key, key.partition(".")[0]} & SHARED_KEYS]
    swept = dict.fromkeys(keys, entry)
    patterns = {f"^{re.escape(key)}\\.": entry for key in list_argument_keys()}
    space = {
        "type": "object",
        "properties": swept,
        "patternProperties": patterns,
        "additionalProperties": False,
    }
    return {"anyOf": [space, NULL]}


def _entry() -> Schema:
    """Returns the schema of a parameter: exactly one kind, and perhaps a condition."""
    values = {"type": "array", "minItems": 1}
    kinds: dict[str, Schema] = {
        "choice": {**values, "description": "One of these values, or drawn from a range."},
        "grid": {**values, "description": "Each of these values in turn."},
        "expr": {**TEXT, "description": "An expression over other keys."},
        "zip": {
            "type": "object", "minProperties": 1, "maxProperties": 1,
            "additionalProperties": values,
            "description": "Key of a choice or grid -> a value for each of its values.",
        },
    }  # fmt: skip
    for kind, arguments in ARGUMENTS.items():
        if kind not in kinds:
            count = arguments.count(",") + 1
            item = INTEGER if "randint" in kind else NUMBER
            numbers = {"type": "array", "items": item, "minItems": count, "maxItems": count}
            kinds[kind] = {**numbers, "description": f"[{arguments}]"}
    kinds = {kind: kinds[kind] for kind in ARGUMENTS}
    weights = {"type": "array", "items": {**NUMBER, "exclusiveMinimum": 0}, "minItems": 1}
    weights["description"] = "How often each value of a choice is drawn, relative to the others."
    others = {
        "weights": weights,
        "min": NUMBER,
        "max": NUMBER,
        "log": {"type": "boolean"},
        "values": values,
    }
    of_choice = {"anyOf": [{"required": ["choice"]}, {"required": ["values"]}]}
    condition = "Keys of the space -> the value or values with which this one exists."
    return {
        "type": "object",
        "properties": {**kinds, **others, "when": {"type": "object", "description": condition}},
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in (*ARGUMENTS, "values", "min")],
        "dependencies": {"min": ["max"], "max": ["min"], "log": ["min"], "weights": of_choice},
        "description": "What a key is drawn from, or what its value follows from.",
    }


def _described(model: type[BaseModel]) -> Schema:
    """Returns pydantic's schema without its titles and with every description on one line."""
    schema = model.model_json_schema()
    _tidy(schema)
    return schema


def sections_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Returns a model and all sections below it."""
    models = [model]
    for kind in models:  # grows meanwhile
        for field in kind.model_fields.values():
            below = [option for option in options(field.annotation) if inspect.isclass(option)]
            models += [b for b in below if issubclass(b, BaseModel) and b not in models]
    return models


def _tidy(schema: Any) -> None:
    """Removes pydantic's titles, which only repeat the names, and joins broken lines."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        if isinstance(schema.get("description"), str):
            schema["description"] = " ".join(schema["description"].split())
        for value in schema.values():
            _tidy(value)
    elif isinstance(schema, list):
        for value in schema:
            _tidy(value)


def _replace(place: Schema, by: Schema) -> None:
    """Replaces a key's rule; see `KEPT` for the parts that stay."""
    kept: Schema = {k: v for k, v in place.items() if k in KEPT}
    place.clear()
    place.update(by)
    place.update(kept)


def _accept_nulls(section: Schema) -> None:
    """Lets the keys of a section that have a default take null."""
    for place in section.get("properties", {}).values():
        rule = {key: value for key, value in place.items() if key not in KEPT}
        alternatives = rule.get("anyOf", [])
        if "default" not in place or NULL in alternatives:
            continue
        is_union = rule.keys() == {"anyOf"}
        _replace(place, {"anyOf": [*alternatives, NULL] if is_union else [rule, NULL]})


def _finished(schema: Schema, title: str, *, with_nulls: bool) -> Schema:
    for section in [schema, *schema["$defs"].values()] if with_nulls else []:
        _accept_nulls(section)
    finished: Schema = {"$schema": DRAFT, "title": title, **schema}
    finished["$defs"] = dict(sorted(schema["$defs"].items()))
    return finished
