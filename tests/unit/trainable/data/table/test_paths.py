"""Which file a path in a table means."""

import os
import unicodedata

import pytest

from tests.support.image_folders import touch
from trainable.data.table.paths import ImageFiles, PathRuleError

NFC = "é"
NFD = unicodedata.normalize("NFD", NFC)


def test_backslashes_are_separators_unless_a_file_has_them(tmp_path):
    touch(tmp_path, "a/1.png", "a\\2.png", "a/2.png")
    files = ImageFiles(tmp_path)
    assert files.find("a\\1.png") == ("a/1.png", str(tmp_path / "a/1.png"))
    assert files.find("a\\2.png") == ("a\\2.png", str(tmp_path / "a\\2.png"))


@pytest.mark.parametrize("on_disk", [NFC, NFD])
@pytest.mark.parametrize("written", [NFC, NFD])
def test_names_are_found_in_both_forms_of_unicode(tmp_path, on_disk, written):
    touch(tmp_path, f"{on_disk}/{on_disk}.png")
    files = ImageFiles(tmp_path)
    key, path = files.find(f"{written}/{written}.png")
    assert key == f"{NFC}/{NFC}.png"
    assert path is not None
    assert os.path.exists(path)  # noqa: PTH110 - a str, as readers get it


def test_of_two_files_the_one_as_written_is_taken(tmp_path):
    touch(tmp_path, f"{NFC}.png", f"{NFD}.png")
    files = ImageFiles(tmp_path)
    assert files.find(f"{NFC}.png")[1] == str(tmp_path / f"{NFC}.png")
    assert files.find(f"{NFD}.png")[1] == str(tmp_path / f"{NFD}.png")


def test_absolute_paths_have_the_identity_of_relative_ones(tmp_path):
    touch(tmp_path, "real/a/1.png")
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for root in (tmp_path / "real", tmp_path / "link", tmp_path / "x" / ".." / "link"):
        files = ImageFiles(root)
        assert files.find(str(tmp_path / "real/a/1.png"))[0] == "a/1.png"
        assert files.find("./a/../a//1.png")[0] == "a/1.png"


def test_a_relative_root_takes_absolute_paths(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.png")
    monkeypatch.chdir(tmp_path)
    assert ImageFiles(tmp_path / "a").find(str(tmp_path / "a/1.png"))[0] == "1.png"


def test_outer_spaces_are_left_out_unless_a_file_has_them(tmp_path):
    touch(tmp_path, "1.png", " 2.png", "2.png")
    files = ImageFiles(tmp_path)
    assert files.find(" 1.png ")[0] == "1.png"
    assert files.find(" 2.png")[0] == " 2.png"


def test_what_is_no_file_is_missing(tmp_path):
    touch(tmp_path, "a/1.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "absent")
    files = ImageFiles(tmp_path)
    for name in ("a", "b/1.png", "a/1.png/x.png", "broken.png", "x\0.png", ""):
        assert files.find(name)[1] is None


@pytest.mark.parametrize("name", ["..", "../x.png", "a/../../x.png", "/x.png", "..\\x.png"])
def test_a_path_out_of_the_root_is_refused(tmp_path, name):
    with pytest.raises(PathRuleError, match=r"is not below dataset\.root"):
        ImageFiles(tmp_path).find(name)
