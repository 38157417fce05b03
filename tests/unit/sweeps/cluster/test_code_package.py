"""What a cluster is sent: which files, and what is said where they are too many."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sweeps.cluster.code_package import Parcel, own_code, with_directory
from sweeps.sweep_dir.errors import SweepError

CODE = ["my_model.py", "lib/blocks.py", "lib/table.json", "lib/data/names.py"]
NO_CODE = [
    ".git/config",
    ".venv/bin/tool.py",
    "lib/__pycache__/blocks.cpython-311.pyc",
    "data/cifar.bin",
    "experiments/old/search.yaml",
    "runs/events",
    "weights.pt",
    "lib/start.pth",
    "my_environment/pyvenv.cfg",
    "my_environment/lib/site.py",
]


def place(folder: Path, *names: str, size: int = 3) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def sent(folder: Path, *leave_out: Path) -> set[str]:
    return set(with_directory(Parcel({}), folder, leave_out).files)


def test_our_own_packages_are_all_there(tmp_path: Path) -> None:
    own_code().write(tmp_path / "code.zip")
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        archive.extractall(tmp_path / "node")
    done = subprocess.run(
        [sys.executable, "-P", "sweeps/run.py", "--help"],
        cwd=tmp_path / "node",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "SEARCH_FILE" in done.stdout
    names = {path.name for path in (tmp_path / "node").iterdir()}
    assert names == {"sweeps", "trainable"}


def test_the_users_code_goes_without_data_weights_and_environments(tmp_path: Path) -> None:
    place(tmp_path, *CODE, *NO_CODE)
    assert sent(tmp_path) == set(CODE)


def test_where_the_sweep_and_its_data_lie_is_no_code(tmp_path: Path) -> None:
    place(tmp_path, "my_model.py", "results/old/a.py", "images/b.py")
    assert sent(tmp_path, tmp_path / "results", tmp_path / "images") == {"my_model.py"}
    everything = {"my_model.py", "results/old/a.py", "images/b.py"}
    assert sent(tmp_path, tmp_path) == everything  # checkpoint.dir: . leaves the code be


def test_in_a_work_tree_what_git_ignores_stays_at_home(tmp_path: Path) -> None:
    place(tmp_path, "my_model.py", "notes/large.txt", "kept.txt", "weights.pt")
    (tmp_path / ".gitignore").write_text("notes/\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert sent(tmp_path) == {".gitignore", "kept.txt", "my_model.py"}


def test_a_users_package_of_our_name_does_not_replace_ours(tmp_path: Path) -> None:
    place(tmp_path, "trainable/__init__.py", "mine.py")
    ours = own_code()
    both = with_directory(ours, tmp_path)
    assert both.files["trainable/__init__.py"] == ours.files["trainable/__init__.py"]
    assert set(both.files) == {*ours.files, "mine.py"}


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    place(tmp_path / "a", "one.py", "two.py")
    place(tmp_path / "b", "two.py", "one.py")
    for name in "ab":
        with_directory(Parcel({}), tmp_path / name).write(tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_too_much_is_refused_with_the_largest_files(tmp_path: Path) -> None:
    place(tmp_path, "small.py")
    place(tmp_path, "lib/large.bin", size=3 * 2**20)
    place(tmp_path, "huge.bin", size=5 * 2**20)
    parcel = with_directory(Parcel({}), tmp_path)
    parcel.check(parcel.size)
    with pytest.raises(SweepError) as caught:
        parcel.check(4 * 2**20)
    first, *largest, last = str(caught.value).splitlines()
    assert first == "the code to send is 8.0 MiB, Ray takes 4.0 MiB; the largest files:"
    assert [line.split() for line in largest] == [
        ["5.0", "MiB", "huge.bin"],
        ["3.0", "MiB", "lib/large.bin"],
        ["3", "B", "small.py"],
    ]
    assert "leave them out by a .gitignore" in last
