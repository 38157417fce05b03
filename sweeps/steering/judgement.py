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
from sweeps.sweep_dir.errors import SweepError
from trainable.errors import TuneSweepsError

VERBS_OF_TRIALS: tuple[Verb, ...] = ("stop", "pause", "resume", "retry")
"""Verbs that concern one trial and take no arguments."""


def judge(request: Request, view: SweepView) -> Judgement:
    """Returns the judgement of a request; nothing is changed."""
    judgement = Judgement(
        request.id, request.verb, request.arguments, "refused", trial=request.trial
    )
    try:
        _check_form(request)
        values = _JUDGES[request.verb](request, view)
    except TuneSweepsError as error:
        return replace(judgement, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a request must never end the sweep
        reason = f"it cannot be judged: {type(error).__name__}: {error}"
        return replace(judgement, reason=reason)
    trial = values.pop(TRIAL, request.trial)
    return replace(judgement, state="accepted", values=values, trial=trial)


def _check_form(request: Request) -> None:
    """Checks that a request has a trial or arguments only where its verb takes them."""
    if request.verb in VERBS_OF_TRIALS:
        if request.arguments:
            raise SweepError(f"{request.verb} takes no arguments, found {list(request.arguments)}")
    elif request.trial is not None:
        raise SweepError(f"{request.verb} concerns the sweep, found trial {request.trial}")


_JUDGES: Mapping[Verb, Callable[[Request, SweepView], Resolved]] = {
    "stop": judge_stop,
    "pause": judge_pause,
    "resume": judge_resume,
    "set": judge_set,
    "retry": judge_retry,
    "add": judge_add,
    "suggest": judge_suggest,
}
