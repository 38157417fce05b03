"""A search file's own code: data sets, models and samplers as `module:name`."""

from typing import Any

import pytest

from sweeps.results.commands import own_code


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({}, []),
        ({"config": {"model": {"name": "resnet20"}}}, []),
        ({"config": {"model": {"name": "mine:net"}}}, ["mine:net"]),
        ({"space": {"model.name": {"choice": ["resnet20", "mine:a", "mine:b"]}}},
         ["mine:a", "mine:b"]),
        ({"space": {"model.name": {"zip": {"optimizer.name": ["cnv", "mine:a"]}}}}, ["mine:a"]),
        ({"space": {"model": {"grid": [{"name": "mine:a"}]}}}, ["mine:a"]),
        ({"config": {"dataset": {"name": "mine:data", "classes": ["a:b", "c"]}}}, ["mine:data"]),
        ({"space": {"dataset.name": {"choice": ["mine:a", "digits"]}}}, ["mine:a"]),
        ({"space": {"dataset": {"choice": [{"name": "mine:a"}, {"name": "digits"}]}}}, ["mine:a"]),
        ({"tune": {"search_alg": "tpe"}}, []),
        ({"tune": {"search_alg": {"name": "optuna", "sampler": "mine:S"}}}, ["mine:S"]),
        ({"config": {"checkpoint": {"dir": "s3://b/x"}, "model": None}, "space": None}, []),
    ],
)  # fmt: skip
def test_own_code_is_found_wherever_a_search_file_names_it(
    search: dict[str, Any], expected: list[str]
) -> None:
    assert own_code(search) == expected
