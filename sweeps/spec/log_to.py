"""`log_to`: the experiment trackers that a sweep reports to while it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, field_validator

from trainable.config.schema import Section, UserPath
from trainable.uri import SECRET, is_uri

MODULES = {"mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}
"""Tracker -> the module of its client, which is an extra of the same name."""
TITLES = {"mlflow": "MLflow", "wandb": "W&B", "trackio": "Trackio", "optuna": "Optuna's journal"}
"""Tracker -> its name in messages."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Beginnings of the URIs with which MLflow opens a database."""
JOURNAL_SUFFIX = ".log"
MAX_PROJECT_LENGTH = 128


def _check_project(name: str) -> str:
    if not re.fullmatch(rf"[\w.-]{{1,{MAX_PROJECT_LENGTH}}}", name, re.ASCII):
        raise ValueError(
            f'must have 1 to {MAX_PROJECT_LENGTH} letters, digits, dots, _ and -, found "{name}"'
        )
    return name


ProjectName = Annotated[str, AfterValidator(_check_project)]
"""A name that W&B and Trackio both accept."""


class MLflowTracker(Section):
    """`log_to.mlflow`: one run per trial below one run of the sweep."""

    tracking_uri: str | None = Field(default=None, examples=["http://127.0.0.1:5000"])
    """The address of an MLflow server, or the URI of a database. null means the SQLite file
    `mlflow.db` in the sweep's directory; `MLFLOW_TRACKING_URI` is not read. A user name and
    password belong into `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`."""
    experiment: str | None = Field(default=None, min_length=1, examples=["digits"])
    """MLflow's experiment. null means the name of the sweep."""

    @field_validator("tracking_uri")
    @classmethod
    def _check_uri(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        try:
            parts = urlsplit(uri)
            has_secret = any(SECRET.search(name) for name, _ in parse_qsl(parts.query))
            has_secret = has_secret or parts.password is not None
            has_secret = has_secret or (parts.scheme.startswith("http") and "@" in parts.netloc)
        except ValueError:
            raise ValueError("must be an address such as http://HOST:5000") from None
        if has_secret:  # it is not shown
            raise ValueError(
                "must not contain a password or token, nor the user of a server, because it is "
                "stored with the sweep; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for a server, or the "
                "database's own password file"
            )
        if parts.scheme in {"", "file"}:
            raise ValueError(
                f"must be a server or a database, because MLflow has given up its file store; "
                f'for a local file: sqlite:////PATH/mlflow.db, found "{uri}"'
            )
        if not parts.scheme.startswith(("http", *DATABASES)):
            raise ValueError(f'must begin with http://, https:// or sqlite:///, found "{uri}"')
        if parts.scheme.startswith("sqlite") and not uri.partition(":")[2].startswith("////"):
            raise ValueError(f'must have an absolute path: sqlite:////PATH/FILE, found "{uri}"')
        return uri


class WandbTracker(Section):
    """`log_to.wandb`: one run per trial in the group of the sweep."""

    project: ProjectName | None = Field(default=None, examples=["digits"])
    """W&B's project. null means the name of the sweep."""
    mode: Literal["offline", "online"] = Field(default="offline", examples=["online"])
    """`offline`: the runs are written below `wandb/` in the sweep's directory, and `wandb sync`
    sends them. `online`: they are sent at once, with the login of `WANDB_API_KEY` or `wandb
    login`."""


class TrackioTracker(Section):
    """`log_to.trackio`: one run per trial in the group of the sweep."""

    project: ProjectName | None = Field(default=None, examples=["digits"])
    """Trackio's project. null means the name of the sweep. It is written below `trackio/` in the
    sweep's directory, or below `TRACKIO_DIR` if that is set."""


class LogTo(Section):
    """`log_to`: the trackers that the sweep reports to; none by default.

    A tracker that is down or fails does not affect the sweep. It gets what it has missed later.
    """

    mlflow: MLflowTracker | None = Field(
        default=None, examples=[{"tracking_uri": "http://127.0.0.1:5000"}]
    )
    """Reports to MLflow (`pip install "tune-sweeps[mlflow]"`); `{}` means a file in the sweep's
    directory."""
    wandb: WandbTracker | None = Field(default=None, examples=[{"project": "digits"}])
    """Reports to Weights & Biases (`pip install "tune-sweeps[wandb]"`); `{}` means offline."""
    trackio: TrackioTracker | None = Field(default=None, examples=[{"project": "digits"}])
    """Reports to Trackio (`pip install "tune-sweeps[trackio]"`), locally."""
    optuna: UserPath | None = Field(default=None, examples=["study.log"])
    """Optuna's journal, which optuna-dashboard shows while the sweep runs: a file name that ends
    in `.log`, in the sweep's directory, or an absolute path."""

    @field_validator("optuna")
    @classmethod
    def _check_journal(cls, path: str | None) -> str | None:
        if path is None:
            return None
        name = PurePath(path)
        is_local = not is_uri(path) and (name.is_absolute() or len(name.parts) == 1)
        if not is_local or name.suffix != JOURNAL_SUFFIX:
            raise ValueError(
                "must be a file name that ends in .log, for a file in the sweep's directory, or "
                f'an absolute path of one, found "{path}"'
            )
        return path

    @property
    def trackers(self) -> dict[str, Section | str]:
        """The trackers that are on -> their settings, in the order of the keys."""
        settings = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in settings.items() if value is not None}


def find_tracker_problems(log_to: LogTo) -> Iterator[tuple[str, str]]:
    """Yields a key and a rule for every tracker that this machine cannot report to.

    Its client is not installed, or the directory of its file does not exist.
    """
    for name in log_to.trackers:
        module = MODULES.get(name)
        if module is not None and find_spec(module) is None:
            yield (
                f"log_to.{name}",
                f"needs {TITLES[name]}'s client, which is not installed: "
                f'pip install "tune-sweeps[{name}]"',
            )
    if log_to.optuna is not None and not (folder := Path(log_to.optuna).parent).is_dir():
        yield "log_to.optuna", f"must be in a directory that exists, found {folder}"
