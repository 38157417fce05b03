"""Sampler classes of `search_alg: {name: optuna}`: finds them by name and checks their use."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from optuna import samplers
from optuna.samplers import BaseSampler

from sweeps.spec.search_algorithms import OptunaSearch
from trainable.config.names import suggestion
from trainable.config.own_code import is_own_code
from trainable.errors import ConfigError, Problem

SAMPLER_KEY = "tune.search_alg.sampler"
ARGS_KEY = "tune.search_alg.args"

INSTEAD = {
    "BruteForceSampler": "use search_alg: grid",
    "GridSampler": "use search_alg: grid",
    "PartialFixedSampler": "set the fixed values in the training config",
}
"""Samplers of Optuna's that are not offered -> what does the same."""

MAX_SEED = 2**32
"""NumPy's generators, which the samplers use, take seeds below this."""


def find_sampler_class(name: str, *, allow_custom: bool = False) -> type[BaseSampler]:
    """Returns the sampler class of a name.

    Args:
        name: A class of `optuna.samplers`, or `module:Class`.
        allow_custom: Whether `module:Class` may be imported.

    Raises:
        ConfigError: There is no such class, or it is custom code and not allowed.
    """
    if is_own_code(name):
        return _import_class(name, allow_custom=allow_custom)
    if name in INSTEAD:
        raise _problem(SAMPLER_KEY, f"{name} is not offered; {INSTEAD[name]}")
    classes = list_sampler_classes()
    if name not in classes:
        rule = f'optuna.samplers has no sampler "{name}"{suggestion(name, classes)}'
        raise _problem(SAMPLER_KEY, rule)
    return classes[name]


def list_sampler_classes() -> dict[str, type[BaseSampler]]:
    """Returns the samplers of the installed Optuna that a search file can name."""
    exported = {name: getattr(samplers, name) for name in samplers.__all__}
    return {
        name: member
        for name, member in exported.items()
        if name not in INSTEAD and _is_sampler(member) and not inspect.isabstract(member)
    }


def build_sampler(search: OptunaSearch, seed: int, *, allow_custom: bool = False) -> BaseSampler:
    """Builds the sampler that a search file names.

    Args:
        search: The section `tune.search_alg`.
        seed: The sweep's seed; passed on if the constructor has an argument `seed`.
        allow_custom: Whether `module:Class` may be imported.

    Raises:
        ConfigError: The class cannot be found or does not take the arguments.
    """
    sampler_class = find_sampler_class(search.sampler, allow_custom=allow_custom)
    parameters = inspect.signature(sampler_class).parameters
    problems = list(_check_arguments(search, parameters))
    if problems:
        raise ConfigError("search", problems)
    arguments = dict(search.args)
    if "seed" in parameters:
        arguments["seed"] = seed % MAX_SEED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental samplers and arguments
            return sampler_class(**arguments)
    except Exception as error:  # a constructor may raise anything
        raise _problem(ARGS_KEY, f"{search.sampler} does not take them: {error}") from error


def _check_arguments(
    search: OptunaSearch, parameters: Mapping[str, inspect.Parameter]
) -> Iterator[Problem]:
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    names = [name for name, p in parameters.items() if p.kind in _BY_NAME and name != "seed"]
    for name in search.args:
        if name == "seed":
            yield Problem(f"{ARGS_KEY}.seed", "leave it out; the sampler gets tune.seed")
        elif name not in names and not takes_any:
            rule = f"{search.sampler} has no such argument{suggestion(name, names)}"
            yield Problem(f"{ARGS_KEY}.{name}", rule)
    missing = [
        name
        for name in names
        if parameters[name].default is inspect.Parameter.empty and name not in search.args
    ]
    if missing:
        yield Problem(ARGS_KEY, f"{search.sampler} needs {', '.join(missing)}")


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _import_class(target: str, *, allow_custom: bool) -> type[BaseSampler]:
    if not allow_custom:
        rule = (
            f'"{target}" is code of your own, which runs only on request: add '
            "--allow-custom-model on the command line, or allow_custom_model=True in Python"
        )
        raise _problem(SAMPLER_KEY, rule)
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        rule = (
            f"cannot import {module_name}: {error} (it must be installed, or its directory be on "
            "PYTHONPATH)"
        )
        raise _problem(SAMPLER_KEY, rule) from error
    try:
        sampler_class = attrgetter(attribute)(module)
    except AttributeError:
        sampler_class = None
    if not _is_sampler(sampler_class):
        classes = [name for name, member in vars(module).items() if _is_sampler(member)]
        rule = f'{module_name} has no sampler class "{attribute}"{suggestion(attribute, classes)}'
        raise _problem(SAMPLER_KEY, rule)
    return sampler_class  # type: ignore[no-any-return]


def _is_sampler(member: Any) -> bool:
    return inspect.isclass(member) and issubclass(member, BaseSampler)


def _problem(key: str, rule: str) -> ConfigError:
    return ConfigError("search", [Problem(key, rule)])
