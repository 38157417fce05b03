"""The code that a cluster receives: which files, and the error if they are too large."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from sweeps.cluster.code_package import (
    CodePackage,
    add_modules,
    add_user_code,
    project_code,
)
from sweeps.sweep_dir.errors import SweepError

CODE = ["my_model.py", "lib/blocks.py", "lib/table.json", "lib/data/names.py"]
EXCLUDED = [
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


def write(folder: Path, *names: str, size: int = 3) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def selected(folder: Path, *excludes: Path) -> set[str]:
    return set(add_user_code(CodePackage({}), folder, excludes).files)


def pack(package: CodePackage, folder: Path) -> Path:
    """Packs a package as Ray packs a `working_dir`."""
    package.link_into(folder / "code")
    archive = folder / "code.zip"
    create_package(str(folder / "code"), archive, include_gitignore=True)
    return archive


def test_the_packages_of_the_project_run_from_the_working_directory(tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(project_code(), tmp_path)) as archive:
        archive.extractall(tmp_path / "node")
    completed = subprocess.run(
        [sys.executable, "-P", "sweeps/run.py", "--help"],
        cwd=tmp_path / "node",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "SEARCH_FILE" in completed.stdout
    names = {path.name for path in (tmp_path / "node").iterdir()}
    assert names == {"sweeps", "trainable"}


def test_the_users_code_is_sent_without_data_weights_and_environments(tmp_path: Path) -> None:
    write(tmp_path, *CODE, *EXCLUDED)
    assert selected(tmp_path) == set(CODE)


def test_the_directories_of_the_sweep_and_its_data_are_not_sent(tmp_path: Path) -> None:
    write(tmp_path, "my_model.py", "results/old/a.py", "images/b.py")
    assert selected(tmp_path, tmp_path / "results", tmp_path / "images") == {"my_model.py"}
    everything = {"my_model.py", "results/old/a.py", "images/b.py"}
    assert selected(tmp_path, tmp_path) == everything  # as with checkpoint.dir: .


def test_files_that_git_ignores_are_not_sent(tmp_path: Path) -> None:
    write(tmp_path, "my_model.py", "notes/large.txt", "kept.txt", "weights.pt")
    (tmp_path / ".gitignore").write_text("notes/\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert selected(tmp_path) == {".gitignore", "kept.txt", "my_model.py"}


def test_a_users_package_does_not_replace_the_projects(tmp_path: Path) -> None:
    write(tmp_path, "trainable/__init__.py", "mine.py")
    package = project_code()
    extended = add_user_code(package, tmp_path)
    assert extended.files["trainable/__init__.py"] == package.files["trainable/__init__.py"]
    assert set(extended.files) == {*package.files, "mine.py"}


def test_ray_packs_every_file_of_the_package(tmp_path: Path) -> None:
    """Also a file that git tracks although `.gitignore` lists it, which Ray alone would drop."""
    home = tmp_path / "home"
    write(home, *CODE, "run.sh")
    (home / "run.sh").chmod(0o755)
    (home / ".gitignore").write_text("lib/table.json\n")
    subprocess.run(["git", "init", "--quiet", str(home)], check=True)
    subprocess.run(["git", "-C", str(home), "add", "--force", "lib/table.json"], check=True)
    with zipfile.ZipFile(pack(add_user_code(CodePackage({}), home), tmp_path)) as archive:
        names = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert set(names) == {*CODE, "run.sh"}
    assert names["run.sh"] == 0o755


def test_a_package_above_the_limit_is_refused_with_its_largest_files(tmp_path: Path) -> None:
    write(tmp_path, "small.py")
    write(tmp_path, "lib/large.bin", size=3 * 2**20)
    write(tmp_path, "huge.bin", size=5 * 2**20)
    package = add_user_code(CodePackage({}), tmp_path)
    package.check_size(package.size)
    with pytest.raises(SweepError) as caught:
        package.check_size(4 * 2**20)
    first, *largest, last = str(caught.value).splitlines()
    assert first == "the code to send is 8.0 MiB, Ray takes 4.0 MiB; the largest files:"
    assert [line.split() for line in largest] == [
        ["5.0", "MiB", "huge.bin"],
        ["3.0", "MiB", "lib/large.bin"],
        ["3", "B", "small.py"],
    ]
    assert "exclude them with a .gitignore" in last


def test_of_another_directory_only_modules_are_sent_as_if_beside_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        (directory / "parts").mkdir(parents=True)
    (first / "net.py").touch()
    for name in ("net.py", "other.py", "parts/layers.py", "notes.txt"):
        (second / name).touch()
    package = add_modules(add_user_code(CodePackage({}), first), second)
    assert package.files == {
        "net.py": first / "net.py",
        "other.py": second / "other.py",
        "parts/layers.py": second / "parts" / "layers.py",
    }
