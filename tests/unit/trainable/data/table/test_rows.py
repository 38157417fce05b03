"""How text files of labels are read: encodings, delimiters, headers, rows of a wrong length."""

from pathlib import Path

import pytest

from tests.support.label_tables import table_dataset
from trainable.data.table.rows import read_table
from trainable.errors import DataError


def read(root: Path, content: str | bytes, file: str = "labels.csv", **keys):
    data = content if isinstance(content, bytes) else content.encode()
    (root / file).write_bytes(data)
    return read_table(table_dataset(root, file, **keys))


def refusal(root: Path, content: str | bytes, file: str = "labels.csv", **keys) -> str:
    with pytest.raises(DataError) as error:
        read(root, content, file, **keys)
    return str(error.value)


def fields(table) -> list[tuple[int, str, str]]:
    return [(row.number, row.path, row.label) for row in table.rows]


EXPECTED = [(2, "a.png", "x"), (3, "b.png", "y")]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("labels.csv", "path,label\na.png,x\nb.png,y\n"),
        ("labels.csv", "\ufeffpath,label\r\na.png,x\r\nb.png,y\r\n"),
        ("labels.csv", "path,label\ra.png,x\rb.png,y"),
        ("labels.csv", ' path ,label\n"a.png",x\nb.png,"y"\n\n\n'),
        ("labels.csv", "id,label,path\n1,x,a.png\n2,y,b.png\n"),
        ("labels.tsv", "path\tlabel\na.png\tx\nb.png\ty\n"),
    ],
)
def test_texts_are_read_in_every_usual_form(tmp_path, file, content):
    table = read(tmp_path, content, file)
    assert fields(table) == EXPECTED
    assert table.notices == ()
    assert table.has_split is False


@pytest.mark.parametrize(
    ("file", "delimiter", "name"),
    [
        ("labels.csv", ";", "semicolons"),
        ("labels.csv", "\t", "tabs"),
        ("labels.tsv", ",", "commas"),
        ("labels.tsv", ";", "semicolons"),
    ],
)
def test_another_delimiter_is_used_and_said_if_only_it_gives_the_columns(
    tmp_path, file, delimiter, name
):
    table = read(tmp_path, "path,label\na.png,x\nb.png,y\n".replace(",", delimiter), file)
    assert fields(table) == EXPECTED
    assert table.notices == (f"{tmp_path / file} is read with {name} between columns",)


def test_fields_keep_quotes_line_breaks_and_delimiters(tmp_path):
    table = read(tmp_path, 'path,label\n"a,1.png","x ""y""\nz"\nb.png,NA\n')
    assert fields(table) == [(2, "a,1.png", 'x "y"\nz'), (4, "b.png", "NA")]


def test_rows_of_another_length_are_refused_with_their_lines(tmp_path):
    content = "path,label\na.png,x\nb.png\nc,1.png,y\nd,2.png,y\n\ne.png\n"
    assert refusal(tmp_path, content) == (
        "dataset.file must have 2 fields in every line, as in its header, found 1 in 2 lines: 3, "
        f"7; 3 in 2 lines: 4, 5 of {tmp_path / 'labels.csv'}: a field with the delimiter in it "
        "must be in quotes"
    )


def test_a_first_row_that_is_too_long_does_not_shift_the_columns(tmp_path):
    assert "found 3 in line 2 of" in refusal(tmp_path, "path,label\na.png,x,1\nb.png,y\n")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("path,label\na.png,é\n".encode("latin-1"), "found byte 0xe9 in line 2"),
        ("path,label\na.png,x\n".encode("utf-16"), "found byte 0xff in line 1"),
        ("path,label\na.png,x\n".encode("utf-16-le"), "found a zero byte in line 1"),
    ],
)
def test_another_encoding_is_refused(tmp_path, content, text):
    message = refusal(tmp_path, content)
    assert text in message
    assert message.endswith("; save it as UTF-8 (spreadsheets call it CSV UTF-8)")


def test_wrong_quotes_are_refused_with_the_line(tmp_path):
    message = refusal(tmp_path, 'path,label\n"a.png" ,x\n')
    assert "is broken in the row that begins in line 2" in message
    message = refusal(tmp_path, 'path,label\na.png,x\n"b.png,y\n')
    assert "is broken in the row that begins in line 3" in message


def test_a_missing_column_is_refused_with_the_nearest_name(tmp_path):
    message = refusal(tmp_path, "image,lable,group\na.png,x,1\n", path_column="images")
    assert message == (
        'dataset.path_column images is no column of labels.csv; did you mean "image"? (columns: '
        "group, image, lable); dataset.label_column label is no column of labels.csv; did you "
        'mean "lable"? (columns: group, image, lable)'
    )


def test_a_column_that_occurs_twice_is_refused(tmp_path):
    message = refusal(tmp_path, "path,label,label\na.png,x,y\n")
    assert message == (
        "dataset.label_column label must occur once in labels.csv, found 2 columns of that name"
    )


def test_a_column_for_two_purposes_is_refused(tmp_path):
    message = refusal(tmp_path, "path,label\na.png,x\n", label_column="path")
    assert message == (
        "dataset.path_column and dataset.label_column must be two columns, found path for both"
    )


def test_a_split_column_is_needed_only_if_the_config_names_one(tmp_path):
    content = "path,label\na.png,x\n"
    assert read(tmp_path, content).has_split is False
    assert "dataset.split_column subset is no column" in refusal(
        tmp_path, content, split_column="subset"
    )
    assert read(
        tmp_path, content.replace("path,", "path,split,").replace("g,x", "g,a,x")
    ).has_split


def test_a_table_without_header_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    message = refusal(tmp_path, "a.png,x\nb.png,y\n")
    assert message == (
        "dataset.file must have a header with dataset.path_column (path) and dataset.label_column "
        f'(label); the first line of {tmp_path / "labels.csv"} is an image, "a.png,x": add a line '
        "such as 'path,label' above it"
    )


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(tmp_path, content):
    assert "must have a header and rows" in refusal(tmp_path, content)


def test_a_missing_file_is_refused_with_what_may_be_meant(tmp_path, monkeypatch):
    for root, text in (
        (tmp_path, "there is no"),
        (tmp_path.parent, "must be a file below dataset.root; there is no"),
    ):
        with pytest.raises(DataError, match=text):
            read_table(table_dataset(root, "absent.csv"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.csv").touch()
    with pytest.raises(DataError) as error:
        read_table(table_dataset(tmp_path / "images", "here.csv"))
    assert str(error.value).endswith(
        f"for the one in the working directory, write {tmp_path / 'here.csv'}"
    )
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="must be a file, found the directory"):
        read_table(table_dataset(tmp_path, "folder.csv"))


def test_an_absolute_path_is_read_as_it_is(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\na.png,x\nb.png,y\n")
    table = read_table(table_dataset(Path("/elsewhere"), str(tmp_path / "labels.csv")))
    assert fields(table) == EXPECTED
