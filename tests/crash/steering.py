"""`python -m tests.crash.steering`: kills drivers while they handle requests.

Each case runs a real sweep, sends it a request after some epochs, lets the driver kill itself with
SIGKILL at a named step of handling it, and resumes the sweep until it is finished. The request
must then stand in the log once, be answered as the log says, and have its effect once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.crash.harness import write_search_file
from tests.crash.reading import read_jsonl, trial_directories
from tests.crash.session import HERE, POLL_S, Session, resume_command, run_command

LIMIT_S = 300
"""Limit of one run of the command."""
RATE = "optimizer.learning_rate"
EPOCHS, SAMPLES = 6, 4
"""Epochs of a trial, and trials of a sweep."""
ENDS = {"complete", "remove", "error"}

STEPS: dict[str, dict[str, Any]] = {
    "before the event": {"operation": "write", "match": '"kind": "request"', "moment": "before"},
    "in the event": {"operation": "write", "match": '"kind": "request"', "moment": "torn"},
    "after the event": {"operation": "write", "match": '"kind": "request"', "moment": "after"},
    "before the answer": {"operation": "replace", "match": "/answers/", "moment": "before"},
    "after the answer": {"operation": "replace", "match": "/answers/", "moment": "after"},
    "after the removal": {"operation": "unlink", "match": "/requests/", "moment": "after"},
}
"""Step of handling a request -> the operation at which the driver kills itself."""


@dataclass(frozen=True)
class Case:
    """A request to a sweep, and the step at which its driver dies."""

    variant: str
    verb: str
    step: str

    def __str__(self) -> str:
        return f"{self.variant}: {self.verb}, killed {self.step}"


CASES = [
    Case("asha", "stop", "before the event"),
    Case("asha", "stop", "after the event"),
    Case("asha", "pause", "after the event"),
    Case("asha", "add", "in the event"),
    Case("asha", "add", "after the answer"),
    Case("tpe", "stop", "before the answer"),
    Case("tpe", "add", "after the event"),
    Case("tpe", "suggest", "after the event"),
    Case("tpe", "set", "after the event"),
    Case("tpe", "retry", "after the event"),
    Case("pbt", "stop", "after the event"),
    Case("pbt", "pause", "after the answer"),
    Case("pbt", "add", "after the event"),
    Case("pbt", "add", "after the removal"),
]


class SteeredSweep:
    """A sweep that gets one request, whose driver is killed, and that is resumed.

    Args:
        case: The request and the step.
        place: An empty directory.
    """

    def __init__(self, case: Case, place: Path) -> None:
        self._case, self._place = case, place
        self._directory = place / "experiments" / case.variant
        self._ray = Path(tempfile.mkdtemp(prefix="steer", dir="/tmp"))
        """Short, because it contains sockets, whose paths are limited."""
        self._runs = 0
        self._sent: list[str] = []

    def run(self) -> list[str]:
        """Runs the case; returns what is wrong in the end."""
        search = write_search_file(self._case.variant, self._place)
        _adapt(search, fails=self._case.verb == "retry")
        try:
            code = self._run(run_command(search), self._send_request, strikes=True)
            if code != -9:
                return [f"the driver was not killed: exit code {code}"]
            for _ in range(3):
                command = resume_command(self._directory, as_script=False)
                code = self._run(command, self._release)
                if code in self._good_codes:
                    break
        finally:
            shutil.rmtree(self._ray, ignore_errors=True)
        return list(self._find_faults()) if code in self._good_codes else [f"exit code {code}"]

    @property
    def _good_codes(self) -> set[int]:
        """Exit codes of a sweep that has finished; 1 if a trial has failed."""
        return {0, 1} if self._case.verb == "retry" else {0}

    def _run(self, command: list[str], act: Any, *, strikes: bool = False) -> int:
        self._runs += 1
        environment = {"RAY_TMPDIR": str(self._ray)}
        if strikes:
            plans = self._place / "faults.json"
            fault = {"role": "driver", "count": 1, **STEPS[self._case.step]}
            plans.write_text(json.dumps([fault]))
            environment |= {
                "CRASH_PLANS": str(plans),
                "CRASH_ROOT": str(self._directory.parent),
                "PYTHONPATH": str(HERE / "faults"),
            }
        session = Session(command, self._output, environment)
        try:
            while session.exit_code is None:
                act()
                time.sleep(POLL_S)
                if time.monotonic() - session.started > LIMIT_S:
                    raise TimeoutError(f"{self._case}: no end within {LIMIT_S} s")
            return int(session.exit_code)
        finally:
            session.kill_all()

    @property
    def _output(self) -> Path:
        return self._place / f"output_{self._runs}.txt"

    def _send_request(self) -> None:
        trial = self._find_trial()
        if self._sent or trial is None:
            return
        verb = self._case.verb
        arguments = {
            "add": {"set": {RATE: 0.05}},
            "set": {"tune.num_samples": SAMPLES + 1},
        }.get(verb, {})
        self._write(verb, trial if verb in {"stop", "pause", "retry"} else None, arguments)

    def _release(self) -> None:
        """Lets a paused trial go on, once the resumed sweep has answered the first request."""
        is_answered = (self._directory / "answers" / f"{self._sent[0]}.json").exists()
        if self._case.verb == "pause" and is_answered and len(self._sent) == 1:
            self._write("resume", json.loads(self._answer(self._sent[0]))["trial"], {})

    def _write(self, verb: Any, trial: str | None, arguments: dict[str, Any]) -> None:
        from sweeps.steering.request import new_request, write_request

        request = new_request(verb, trial, arguments)
        write_request(self._directory, request)
        self._sent.append(request.id)

    def _find_trial(self) -> str | None:
        """Returns the trial that a request concerns, once there is one."""
        for path in trial_directories(self._directory):
            record = json.loads((path / "trial.json").read_text())
            rows = read_jsonl(path / "metrics.jsonl", torn=True)
            if self._case.verb == "retry":
                if record["state"] == "failed":
                    return str(record["id"])
            elif record["state"] == "running" and 1 <= len(rows) <= EPOCHS - 3:
                return str(record["id"])
        return None

    def _answer(self, id_: str) -> str:
        return (self._directory / "answers" / f"{id_}.json").read_text()

    def _find_faults(self) -> Iterator[str]:
        events = read_jsonl(self._directory / "events.jsonl")
        requests = [event for event in events if event["kind"] == "request"]
        if [event["request"]["id"] for event in requests] != self._sent:
            yield f"requests in the log: {requests}, expected {self._sent}"
        for event in requests:
            request = event["request"]
            answer = json.loads(self._answer(request["id"]))
            if (answer["state"], request["state"]) != ("accepted", "accepted"):
                yield f"not accepted: {request}, {answer}"
        left = list((self._directory / "requests").iterdir())
        if left:
            yield f"requests left: {left}"
        outputs = [path.read_text() for path in self._place.glob("output_*.txt")]
        if any("differently" in text or "Traceback" in text for text in outputs):
            yield "a decision differs, or a driver failed; see the output"
        yield from self._find_faults_of_trials(events, requests[0])

    def _find_faults_of_trials(
        self, events: list[dict[str, Any]], request: dict[str, Any]
    ) -> Iterator[str]:
        records = {}
        for path in trial_directories(self._directory):
            record = json.loads((path / "trial.json").read_text())
            records[record["id"]] = record
            epochs = [row["epoch"] for row in read_jsonl(path / "metrics.jsonl")]
            exploited = bool(record["lineage"])  # it goes on from another trial's epoch
            if epochs != list(range(1, len(epochs) + 1)) and not exploited:
                yield f"trial {record['id']} has epochs {epochs}"
        verb, trial = self._case.verb, request["trial"]
        expected = SAMPLES + (verb in {"add", "set"})
        if len(records) != expected:
            yield f"{len(records)} trials, expected {expected}"
        if verb == "stop":
            ends = [e for e in events if e["trial"] == trial and e["kind"] in ENDS]
            if records[trial]["stopped_by"] != "hand" or len(ends) != 1:
                yield f"trial {trial} is {records[trial]['state']}, ended by {ends}"
        elif verb == "pause" and records[trial]["state"] not in {"finished", "stopped"}:
            yield f"trial {trial} is {records[trial]['state']}"
        elif verb == "add":
            added = [record for record in records.values() if record.get("added")]
            if [record["id"] for record in added] != [trial] or added[0]["values"][RATE] != 0.05:
                yield f"added {added}, expected {trial}"
        elif verb == "retry" and len(records[trial]["failures"]) != 2:
            yield f"trial {trial} has failed {len(records[trial]['failures'])} times, expected 2"


def _adapt(path: Path, *, fails: bool) -> None:
    """Makes a search smaller, and lets some of its trials diverge."""
    data = yaml.safe_load(path.read_text())
    data["config"]["training"]["epochs"] = EPOCHS
    data["tune"]["num_samples"] = SAMPLES
    if fails:
        data["space"][RATE] = {"choice": [0.1, 1e30]}
        data["failure"] = {"max_retries": 0, "stop_after": "never"}
    path.write_text(yaml.safe_dump(data))


def main() -> int:
    """Runs all cases, or those whose text contains the argument."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.steering", description=__doc__)
    parser.add_argument("--only", default="", help="a part of a case's text")
    parser.add_argument("--place", type=Path, help="default: a temporary directory")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    place = options.place or Path(tempfile.mkdtemp(prefix="steering_"))
    failed = 0
    for number, case in enumerate(case for case in CASES if options.only in str(case)):
        directory = place / f"{number:02d}_{case.variant}"
        directory.mkdir(parents=True)
        started = time.monotonic()
        faults = SteeredSweep(case, directory).run()
        failed += bool(faults)
        text = "; ".join(faults) or "the request once"
        print(f"{case}: {text} ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{failed} of the cases failed; files in {place}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
