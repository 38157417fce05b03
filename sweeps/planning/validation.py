"""Checks a sweep without starting anything."""

from __future__ import annotations

from pathlib import Path

from sweeps.preflight.checks import refuse_failing_sweep
from sweeps.search.sampler_check import check_optuna_sampler
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from trainable.preflight.background import Options
from trainable.uri import is_uri


def check_spec(
    spec: SearchSpec,
    *,
    allow_custom_model: bool,
    with_torch: bool = False,
    decode_all: bool = False,
) -> None:
    """Makes all checks of a sweep in this process.

    Args:
        spec: The search file, checked by itself.
        allow_custom_model: Whether own code is allowed.
        with_torch: Whether own data sets and models are run, too.
        decode_all: Whether all images are decoded.

    Raises:
        ConfigError: Trials would fail; all problems are listed.
        SweepError: The sweep that `warm_start` names does not exist.
    """
    check_warm_start(spec.tune.warm_start)
    check_optuna_sampler(spec)
    options = Options(allow_custom_model, with_torch=with_torch, decode_all=decode_all)
    refuse_failing_sweep(spec, options)


def check_warm_start(earlier: str | None) -> None:
    """Checks that the sweep that `warm_start` names exists; object storage is not read.

    Raises:
        SweepError: There is no such sweep.
    """
    if earlier is not None and not is_uri(earlier):
        SweepLayout(Path(earlier)).read_sweep()
