"""How Parquet files of labels are read."""

import subprocess
import sys
from datetime import date

import pytest

from tests.support.label_tables import table_dataset, write_table
from trainable.data.table.rows import read_table
from trainable.errors import DataError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def read(root, labels, **columns):
    table = pa.table(
        {"path": [f"{n}.png" for n in range(len(labels))], "label": labels, **columns}
    )
    parquet.write_table(table, root / "labels.parquet")
    return read_table(table_dataset(root, "labels.parquet"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["01", "NA"], ["01", "NA"]),
        ([1, 10], ["1", "10"]),
        ([1.0, 3.0], ["1", "3"]),
        ([True, False], ["True", "False"]),
        (pa.array([1, None], pa.int64()), ["1", ""]),
        (pa.array(["b", "a"]).dictionary_encode(), ["b", "a"]),
        (pa.array(["b", "a"], pa.large_string()), ["b", "a"]),
    ],
)
def test_labels_become_text(tmp_path, labels, expected):
    table = read(tmp_path, labels, __index_level_0__=[7, 8], scores=[[1.0], [2.0]])
    assert [row.label for row in table.rows] == expected
    assert [row.number for row in table.rows] == [1, 2]
    assert table.unit == "row"


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([1.0, 0.5], "0.5 in row 2"),
        ([float("nan"), float("inf")], "nan in 2 rows: 1, 2"),
        ([["a"], ["b"]], "list in 2 rows: 1, 2"),
        ([date(2026, 1, 1), date(2026, 1, 2)], "date in 2 rows: 1, 2"),
    ],
)
def test_other_values_are_refused(tmp_path, labels, shown):
    with pytest.raises(DataError) as error:
        read(tmp_path, labels)
    assert str(error.value) == (
        f"dataset.label_column label must hold texts or whole numbers, found {shown}"
    )


def test_a_broken_file_and_a_missing_column_are_refused(tmp_path):
    (tmp_path / "labels.parquet").write_text("path,label\n")
    with pytest.raises(DataError, match="is no readable Parquet file: "):
        read_table(table_dataset(tmp_path, "labels.parquet"))
    write_table(tmp_path / "labels.parquet", ("path", "class"), [("a.png", "x")])
    with pytest.raises(DataError, match=r"dataset\.label_column label is no column"):
        read_table(table_dataset(tmp_path, "labels.parquet"))


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    write_table(tmp_path / "labels.parquet", ("path", "label"), [("a.png", "x")])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError) as error:
        read_table(table_dataset(tmp_path, "labels.parquet"))
    assert str(error.value).endswith(
        "needs pyarrow (pip install pyarrow); or save the table as .csv"
    )


def test_neither_pyarrow_nor_torch_is_imported_for_text(tmp_path):
    write_table(tmp_path / "labels.csv", ("path", "label"), [("a.png", "x"), ("b.png", "y")])
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    code = (
        "import sys; from trainable.config import TableDataset; "
        "from trainable.data.listing import list_images; "
        f"list_images(TableDataset(name='table', root={str(tmp_path)!r}, file='labels.csv')); "
        "print({'pyarrow', 'torch', 'pandas', 'PIL'} & sys.modules.keys())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "set()"
