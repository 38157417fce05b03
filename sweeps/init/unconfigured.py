"""A training config for data that no file describes yet: what `sweep data photos` looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.init.data_facts import STUB, list_with_test, summarize_with_test
from sweeps.init.data_source import read_source
from trainable.config import ArraysDataset, FileDataset, TrainConfig, parse_config
from trainable.config.override import override


def make_config(data: str, changes: Mapping[str, Any]) -> TrainConfig:
    """Returns a training config with the data set that a text names and any model.

    A test set is split off where the data have none, as by `sweep init`.

    Args:
        data: A folder, a file or a name, as for `sweep init --data`.
        changes: Dotted keys of the training config -> values.

    Raises:
        DataError: There is no such data, or they cannot be listed.
        ConfigError: A key is not valid.
    """
    section, _ = read_source(data, "DATA")
    values = override({"dataset": section, **STUB}, changes)
    dataset = parse_config(values, data).dataset
    if isinstance(dataset, FileDataset):
        values["dataset"] = list_with_test(values["dataset"])[0]
    elif isinstance(dataset, ArraysDataset):
        values["dataset"] = summarize_with_test(values["dataset"])[0]
    return parse_config(values, data)
