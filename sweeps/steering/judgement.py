"""Judges requests: accepts them with everything resolved, or refuses them with a reason.

The driver of a running sweep and a client of a sweep without a driver use the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sweeps.steering.additions import judge_add, judge_retry, judge_suggest
from sweeps.steering.control import judge_pause, judge_resume, judge_set, judge_stop
from sweeps.steering.request import Judgement, Request, Verb
from sweeps.steering.view import TRIAL, Resolved, SweepView
from trainable.errors import TuneSweepsError


def judge(request: Request, view: SweepView) -> Judgement:
    """Returns the judgement of a request; nothing is changed."""
    judgement = Judgement(
        request.id, request.verb, request.arguments, "refused", trial=request.trial
    )
    try:
        values = _JUDGES[request.verb](request, view)
    except TuneSweepsError as error:
        return replace(judgement, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a request must never end the sweep
        reason = f"it cannot be judged: {type(error).__name__}: {error}"
        return replace(judgement, reason=reason)
    trial = values.pop(TRIAL, request.trial)
    return replace(judgement, state="accepted", values=values, trial=trial)


_JUDGES: Mapping[Verb, Callable[[Request, SweepView], Resolved]] = {
    "stop": judge_stop,
    "pause": judge_pause,
    "resume": judge_resume,
    "set": judge_set,
    "retry": judge_retry,
    "add": judge_add,
    "suggest": judge_suggest,
}
