"""Makes a process of a sweep kill itself during an operation on files.

Python imports this module at start-up if its folder is on PYTHONPATH, as the crash harness sets
it. `CRASH_PLANS` names a JSON file with a list of faults:

    {"role": "worker", "operation": "replace", "count": 12, "moment": "before"}

The process kills itself with SIGKILL at its twelfth `os.replace` below `CRASH_ROOT`. With a key
`match` only operations count whose paths or data contain that text. Each fault strikes once, in
the first process that reaches it; the file `PLANS.N.fired` then names the place.
"""

import builtins
import functools
import io
import json
import os
import signal
import sys
import threading
from pathlib import Path

NAMES = {
    "replace": "replace",
    "rename": "rename",
    "link": "link",
    "unlink": "unlink",
    "mkdir": "mkdir",
    "rmdir": "rmdir",
    "truncate": "truncate",
}
"""Functions of `os` that take a path -> their names in faults."""


def _role() -> str:
    if "sweeps.cluster.ray_host" in sys.orig_argv:
        return "other"
    if os.getpid() == os.getsid(0):
        return "driver"  # the harness starts it as the leader of a session
    if any(arg.endswith("default_worker.py") for arg in sys.orig_argv):
        return "worker"
    return "other"


class Injector:
    """Counts this process's operations and strikes when a fault is due."""

    def __init__(self, plans: str, root: str) -> None:
        faults = json.loads(Path(plans).read_text(encoding="utf-8"))
        role = _role()
        self._faults = [(f"{plans}.{i}.fired", f) for i, f in enumerate(faults)]
        self._faults = [(token, f) for token, f in self._faults if f["role"] == role]
        self._root = Path(root)
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def has_faults(self) -> bool:
        return bool(self._faults)

    def inside(self, path: object) -> bool:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return Path.cwd().joinpath(os.fsdecode(path)).is_relative_to(self._root)

    def due(self, operation: str, detail: str) -> tuple[str, dict] | None:
        """Counts one operation on paths or data; returns the fault that is due at it, if any."""
        with self._lock:
            for name in (operation, "any"):
                self._counts[name] = self._counts.get(name, 0) + 1
            for token, fault in self._faults:
                name = fault["operation"]
                if name not in (operation, "any"):
                    continue
                count = self._counts[name]
                if "match" in fault:
                    matched = self._counts.get(token, 0) + (fault["match"] in detail)
                    self._counts[token] = matched
                    count = matched if fault["match"] in detail else 0
                if count == fault["count"]:
                    return token, fault
        return None

    def strike(self, token: str, what: str) -> None:
        """Kills this process, unless the fault has struck another one."""
        try:
            file = os.open(token, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.write(file, what.encode())
        os.kill(os.getpid(), signal.SIGKILL)


class StrikingFile:
    """A file opened for writing whose writes are counted; a write may be torn."""

    def __init__(self, file, path: object, injector: Injector) -> None:
        self._file, self._path, self._injector = file, path, injector

    def write(self, data):
        due = self._injector.due(
            "write", str(bytes(data) if isinstance(data, memoryview) else data)
        )
        if due is None:
            return self._file.write(data)
        token, fault = due
        what = f"write {self._path} {fault['moment']}"
        if fault["moment"] == "before":
            self._injector.strike(token, what)
        if fault["moment"] == "torn":
            done = self._file.write(data[: len(data) // 2])
            self._file.flush()
            self._injector.strike(token, what)
            return done + self._file.write(data[len(data) // 2 :])
        done = self._file.write(data)
        self._injector.strike(token, what)  # the buffer's content is lost
        return done

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *details):
        return self._file.__exit__(*details)

    def __iter__(self):
        return iter(self._file)


def _wrap_operation(function, operation: str, injector: Injector):
    @functools.wraps(function)
    def call(path, *args, **kwargs):
        directory = kwargs.get("dir_fd") or kwargs.get("src_dir_fd")
        names = " ".join(map(str, (path, *args)))
        due = injector.due(operation, names) if injector.inside(directory or path) else None
        if due is None:
            return function(path, *args, **kwargs)
        token, fault = due
        what = f"{operation} {path} {' '.join(map(str, args))} {fault['moment']}"
        if fault["moment"] == "before":
            injector.strike(token, what)
        result = function(path, *args, **kwargs)
        injector.strike(token, what)
        return result

    return call


def _wrap_open(function, injector: Injector):
    @functools.wraps(function)
    def call(path, mode="r", *args, **kwargs):
        file = function(path, mode, *args, **kwargs)
        if set(mode) & set("wax+") and not isinstance(path, int) and injector.inside(path):
            return StrikingFile(file, path, injector)
        return file

    return call


def install(injector: Injector) -> None:
    """Replaces the file functions of this process with counting ones."""
    for name, operation in NAMES.items():
        setattr(os, name, _wrap_operation(getattr(os, name), operation, injector))
    os.fsync = _wrap_operation(os.fsync, "fsync", injector)
    io.open = builtins.open = _wrap_open(builtins.open, injector)


if "CRASH_PLANS" in os.environ:
    injector = Injector(os.environ["CRASH_PLANS"], os.environ["CRASH_ROOT"])
    if injector.has_faults:
        install(injector)
