"""Reading a file of arrays, and the files that are refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.support.array_files import example_arrays, write_arrays
from trainable.data.array_file.opened import open_array_file
from trainable.errors import DataError


def refusal(file) -> str:
    with pytest.raises(DataError) as error:
        open_array_file(file)
    return str(error.value)


@pytest.mark.parametrize("name", ["data.npz", "data.pt", "DATA.NPZ"])
def test_headers_have_shape_and_type_of_every_array(tmp_path, name):
    arrays = example_arrays(y_train=np.array(["a", "bc"] * 8))
    file = write_arrays(tmp_path / name.lower(), **arrays).rename(tmp_path / name)
    opened = open_array_file(file)
    assert {key: (one.shape, one.dtype) for key, one in opened.headers.items()} == {
        "x_train": ((16, 8, 8, 3), "uint8"),
        "y_train": ((16,), "texts"),
        "x_test": ((8, 8, 8, 3), "uint8"),
        "y_test": ((8,), "int64"),
    }
    assert opened.headers["x_train"].nbytes == 16 * 8 * 8 * 3
    for key, array in arrays.items():
        np.testing.assert_array_equal(opened.read(key), array)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, y_train=np.array(["a", 3, None], dtype=object))
    opened = open_array_file(file)
    assert (opened.headers["y_train"].kind, opened.headers["y_train"].dtype) == ("O", "object")
    with pytest.raises(DataError, match=r"y_train is damaged .*allow_pickle=False"):
        opened.read("y_train")


def test_a_file_of_another_format_is_refused(tmp_path):
    np.save(tmp_path / "single.npy", np.zeros(3))
    file = (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    assert "must be an archive of arrays, as numpy.savez writes it (" in refusal(file)
    (tmp_path / "text.pt").write_text("x")
    assert "must be a mapping of tensors, as torch.save writes it (" in refusal(
        tmp_path / "text.pt"
    )
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    assert refusal(tmp_path / "list.pt").endswith("as torch.save writes it, found list")


def test_a_truncated_file_is_refused(tmp_path):
    for name in ("data.npz", "data.pt"):
        file = write_arrays(tmp_path / name, **example_arrays())
        file.write_bytes(file.read_bytes()[:-300])
        assert f"dataset.file {file}: must be " in refusal(file)


def test_numpy_arrays_in_a_pt_file_are_refused_with_the_remedy(tmp_path):
    torch.save({"x_train": np.zeros(3)}, tmp_path / "data.pt")
    message = refusal(tmp_path / "data.pt")
    assert "must hold tensors and plain values only, found code (numpy" in message
    assert message.endswith("; make tensors of arrays: torch.from_numpy(array)")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.zeros(2, dtype=torch.bool), "b"),
        (torch.zeros(2, dtype=torch.uint8), "u"),
        (torch.zeros(2, dtype=torch.int16), "i"),
        (torch.zeros(2, dtype=torch.bfloat16), "O"),
        (torch.zeros(2, dtype=torch.float16), "f"),
        (["a", "b"], "U"),
        ([3, 4], "i"),
        (["a", 4], "O"),
        ({"a": 1}, "O"),
    ],
)
def test_values_of_a_pt_file_have_numpys_kinds(tmp_path, value, kind):
    torch.save({"y": value}, tmp_path / "data.pt")
    opened = open_array_file(tmp_path / "data.pt")
    assert opened.headers["y"].kind == kind
    if kind in "iU" and isinstance(value, list):
        assert opened.read("y").tolist() == value


def test_torch_is_not_imported_for_npz(tmp_path):
    write_arrays(tmp_path / "data.npz", **example_arrays())
    code = (
        "import sys; from trainable.config import ArraysDataset; "
        "from trainable.data.array_file import summarize_arrays; "
        f"d = ArraysDataset(name='arrays', root={str(tmp_path)!r}, file='data.npz'); "
        "print(summarize_arrays(d).classes, {'torch', 'PIL'} & sys.modules.keys())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "('0', '1') set()"
