"""Seeds of streams, and the generators that work beside a training leaves as they were."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from trainable.augment.streams import Stream, rng_of, same_random_numbers, stream_seed


def draw() -> list[Any]:
    return [random.random(), np.random.random(), torch.rand(()).item()]


@pytest.mark.parametrize("on_gpus", [False, True])
@pytest.mark.parametrize("error", [None, ValueError])
def test_global_generators_continue_where_they_were(
    *, on_gpus: bool, error: type[Exception] | None
) -> None:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    try:
        with same_random_numbers(on_gpus=on_gpus):
            assert draw() == expected
            if error is not None:
                raise error
    except ValueError:
        assert error is not None
    assert draw() == expected


def test_the_seed_of_an_epoch_does_not_change_with_versions() -> None:
    assert stream_seed(42, 1) == int(
        np.random.SeedSequence([42, 1]).generate_state(1, np.uint64)[0] // 2
    )


def test_a_stream_depends_on_the_seed_the_kind_and_the_number() -> None:
    keys = [(0, Stream.ERASING, 0), (1, Stream.ERASING, 0), (0, Stream.MIXING, 0),
            (0, Stream.ERASING, 1)]  # fmt: skip
    assert len({rng_of(*key).integers(2**62) for key in keys}) == len(keys)
