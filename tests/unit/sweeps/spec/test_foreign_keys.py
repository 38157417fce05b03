"""The hints on other tools' keys name keys that exist here."""

import re

from sweeps.spec.foreign_keys import FOREIGN_KEYS, HERE
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.space import list_config_keys
from trainable.config.introspection import fields_of, options
from trainable.config.synonyms import simplify


def own_keys() -> set[str]:
    """Dotted keys of the search file, down to those of a scheduler."""
    keys = {f"config.{key}" for key in list_config_keys()} | set(SearchSpec.model_fields)
    for section, field in SearchSpec.model_fields.items():
        for kind in options(field.annotation):
            for key in fields_of(kind):
                keys.add(f"{section}.{key}")
                inner = options(kind.model_fields[key].annotation)
                keys |= {
                    f"{section}.{key}.{name}" for option in inner for name in fields_of(option)
                }
    return keys


def test_every_hint_names_keys_that_exist() -> None:
    own = own_keys()
    hints = {hint.removeprefix(HERE) for hint in FOREIGN_KEYS.values() if hint.startswith(HERE)}
    assert len(hints) > 25
    for hint in hints:
        named = re.findall(r"\b[a-z_]+(?:\.[a-z_]+)+\b", hint) or [re.split(r"[ ,]", hint)[0]]
        assert set(named) - {"e.g"} <= own or hint.startswith("--"), hint


def test_spellings_of_a_key_are_one() -> None:
    assert simplify("maxTrialNumber") == simplify("max_trial_number")
    assert FOREIGN_KEYS[simplify("maxTrialNumber")] == f"{HERE}tune.num_samples"
