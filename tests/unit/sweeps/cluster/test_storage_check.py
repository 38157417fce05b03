"""The check that all nodes share the sweep's directory, with nodes that are simulated."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError, RayTaskError

from sweeps.cluster import storage_check
from sweeps.cluster.storage_check import check_shared, probe_files, storage_credentials
from sweeps.sweep_dir.errors import SweepError

Probe = Callable[..., str | None]
NODE_IDS = {"a": "0a" * 28, "b": "0b" * 28}


class FakeNodes:
    """Two nodes whose probes run in this process.

    Args:
        mounts: Node -> directory that it sees in place of the shared one.
        errors: Node -> error instead of a result.
    """

    def __init__(
        self, mounts: dict[str, Path] | None = None, errors: dict[str, Exception] | None = None
    ) -> None:
        self._mounts = mounts or {}
        self._errors = errors or {}
        self.probed: list[Path] = []

    def list(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": id_,
                "Alive": True,
                "NodeManagerHostname": f"host-{name}",
                "NodeManagerAddress": "10.0.0.1",
            }
            for name, id_ in NODE_IDS.items()
        ]

    def remote(self, **options: Any) -> Callable[[Probe], Any]:
        (name,) = (
            name for name, id_ in NODE_IDS.items() if id_ == options["scheduling_strategy"].node_id
        )

        def run(probe: Probe, location: str, token: str, node: str) -> Callable[[], str | None]:
            self.probed.append(Path(location))
            if name in self._errors:
                return lambda: _raise(self._errors[name])
            problem = probe(str(self._mounts.get(name, location)), token, node)
            return lambda: problem

        return lambda probe: SimpleNamespace(remote=partial(run, probe))


def _raise(error: Exception) -> None:
    raise error


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_check, "VISIBILITY_TIMEOUT_S", 0.0)


@contextmanager
def cluster(nodes: FakeNodes) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "nodes", nodes.list)
        patch.setattr(ray, "remote", nodes.remote)
        patch.setattr(ray, "wait", lambda *args, **options: None)
        patch.setattr(ray, "get", lambda reference, timeout: reference())
        yield


def test_nodes_that_share_the_directory_pass_and_leave_nothing_behind(tmp_path: Path) -> None:
    nodes = FakeNodes()
    with cluster(nodes):
        check_shared(tmp_path / "results" / "sweep")
    assert [path.parent for path in nodes.probed] == [tmp_path / "results"] * 2
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_probed_itself(tmp_path: Path) -> None:
    nodes = FakeNodes()
    (tmp_path / "sweep").mkdir()
    with cluster(nodes):
        check_shared(tmp_path / "sweep")
    assert [path.parent for path in nodes.probed] == [tmp_path / "sweep"] * 2
    assert list((tmp_path / "sweep").iterdir()) == []


def test_a_single_node_is_not_probed(tmp_path: Path) -> None:
    nodes = FakeNodes()
    with cluster(nodes), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "nodes", lambda: nodes.list()[:1])
        check_shared(tmp_path / "sweep")
    assert nodes.probed == []


def test_a_node_that_does_not_see_the_drivers_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    nodes = FakeNodes(mounts={"b": tmp_path / "elsewhere"})
    with cluster(nodes), pytest.raises(SweepError) as caught:
        check_shared(tmp_path / "results" / "sweep")
    assert str(caught.value) == (
        f"checkpoint.dir {tmp_path / 'results'} is not shared by the cluster's nodes: on node "
        "host-b (10.0.0.1) a file that the driver has just written there is not visible; give a "
        "directory that all of them mount"
    )


def test_a_node_whose_files_the_driver_does_not_see_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node sees a copy of the directory, with the driver's file in it."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "token")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / storage_check.PROBE_FILE).write_text("token")
    nodes = FakeNodes(mounts={"a": tmp_path / "copy"})
    with (
        cluster(nodes),
        pytest.raises(SweepError, match=r"host-a .* files that it writes are not visible on"),
    ):
        check_shared(tmp_path / "sweep")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GetTimeoutError(), "the check did not end within 300 s"),
        (RayTaskError("probe", "no\n memory", RuntimeError()), "the check failed: "),
    ],
)
def test_a_node_without_a_result_is_named(tmp_path: Path, error: Exception, reason: str) -> None:
    nodes = FakeNodes(errors={"b": error})
    with cluster(nodes), pytest.raises(SweepError, match=f"host-b .* {reason}"):
        check_shared(tmp_path / "sweep")


def test_a_node_that_cannot_write_says_why(tmp_path: Path) -> None:
    (tmp_path / storage_check.PROBE_FILE).write_text("token")
    (tmp_path / "node").mkdir()
    assert probe_files(str(tmp_path), "token", "node") == (
        "files cannot be written there: Is a directory"
    )


def test_a_directory_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        cluster(FakeNodes(None, None)),
        pytest.raises(SweepError, match="cannot be created: Not a"),
    ):
        check_shared(tmp_path / "file" / "results" / "sweep")


def test_credentials_are_the_variables_that_tune_passes_to_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in storage_check.CREDENTIAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_REGION", "not passed")
    assert storage_credentials() == {"AWS_ACCESS_KEY_ID": "id"}
