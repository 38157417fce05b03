"""Explains the keys inside sections that are written for another tool.

A search file of W&B, NNI, Determined or Ludwig is refused for its unknown sections. Their keys and
parameters are explained too, so that one `sweep validate` says how the whole file is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.space.foreign_forms import translate_foreign_form
from sweeps.spec.foreign_keys import FOREIGN_KEYS, HERE
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import Tune
from sweeps.spec.validation.space import list_config_keys
from trainable.config.introspection import names_of, options
from trainable.config.synonyms import find_synonym, simplify
from trainable.config.yaml_reader import Document, PathKey, dotted, line_of
from trainable.errors import Problem

_NAME_KEYS = ("name", "type")
"""Keys with which a section of another tool names its algorithm."""
_ALGORITHMS: dict[tuple[Any, str], str] = {
    ("early_terminate", "hyperband"): "asha",
    ("hyperopt", "optuna"): "tpe",
}
"""Section and name -> the algorithm of that kind, where the names are misleading."""

_SAME_KEYS = ("metric", "num_samples", "max_concurrent_trials")
"""Keys that other tools have in other sections than `tune`."""


def explain_foreign_sections(document: Document) -> list[Problem]:
    """Returns how the keys inside the unknown sections of a search file are written here."""
    if not isinstance(document.data, Mapping):
        return []
    unknown = {
        key: value for key, value in document.data.items() if key not in SearchSpec.model_fields
    }
    hints = [hint for key, value in unknown.items() for hint in _explain(value, (key,))]
    return [Problem(dotted(path), rule, line_of(document, path)) for path, rule in hints]


def _explain(value: Any, path: PathKey) -> Iterator[tuple[PathKey, str]]:
    """Yields the paths inside a value and what they are here."""
    hint = FOREIGN_KEYS.get(simplify(str(path[-1])), "")
    section = hint.removeprefix(HERE)
    if not isinstance(value, Mapping):
        if section in ("tune.search_alg", "tune.scheduler") and len(path) == 1:
            yield from _name_algorithm(value, path)
        return
    if section == "space":
        for key, form in value.items():
            yield (*path, key), _write_parameter(str(key), form)
        return
    for key, inner in value.items():
        inner_hint = FOREIGN_KEYS.get(simplify(str(key)))
        if path == ("metric",) and key in ("name", "target"):
            yield (*path, key), HERE + ("tune.metric" if key == "name" else "tune.target")
        elif key in _NAME_KEYS:
            yield from _name_algorithm(inner, (*path, key))
        elif inner_hint is not None:
            yield (*path, key), inner_hint
        elif key in _SAME_KEYS:
            yield (*path, key), f"{HERE}tune.{key}"
        yield from _explain(inner, (*path, key))


def _name_algorithm(name: Any, path: PathKey) -> Iterator[tuple[PathKey, str]]:
    """Yields what another tool's algorithm is called here, if there is one."""
    if not isinstance(name, str):
        return
    name = _ALGORITHMS.get((path[0], name), name)
    for section in ("scheduler", "search_alg"):
        kinds = options(Tune.model_fields[section].annotation)
        ours = find_synonym(name, [name for kind in kinds for name in names_of(kind)])
        if ours is not None and not (section == "scheduler" and path[0] in ("method", "tuner")):
            yield path, f"{HERE}tune.{section}: {ours}"
            return


def _write_parameter(name: str, form: Any) -> str:
    """Returns how one parameter of another tool's space is written here."""
    if isinstance(form, Mapping) and form.keys() == {"value"}:
        return "is a constant, which belongs in config"
    written = translate_foreign_form(form) if isinstance(form, Mapping) else None
    key = _find_config_key(name)
    if written is None:
        return f"{HERE}a key of space{f', {key}' if key else ''}"
    return f"is written {key or 'KEY'}: {written} in space here"


def _find_config_key(name: str) -> str | None:
    """Returns the key of the training config that another tool's parameter is most likely."""
    keys = list_config_keys()
    parts = [part for part in name.split(".") if part not in _NAME_KEYS]
    last = parts[-1] if parts else name
    same = (key for key in keys if key.rpartition(".")[2] == last)
    key = find_synonym(last, [key for key in keys if "." in key]) or next(same, None)
    if key is not None and f"{key}.name" in keys:
        return f"{key}.name"
    return key
