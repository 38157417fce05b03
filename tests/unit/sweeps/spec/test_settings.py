"""`resources`: what each trial gets."""

import pytest
from pydantic import ValidationError

from sweeps.spec.settings import Resources


def test_the_old_name_of_a_shared_process_is_still_read_with_a_line_that_names_the_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    resources = Resources(gpu=0.5, process="card")  # type: ignore[arg-type]
    assert resources.process == "shared"
    assert [record.getMessage() for record in caplog.records] == [
        'note: resources.process: "card" is now "shared"'
    ]


def test_trials_with_whole_gpus_share_no_process() -> None:
    message = r"must be trial where a trial has whole GPUs \(gpu 1\), found shared"
    with pytest.raises(ValidationError, match=message):
        Resources(gpu=1, process="shared")
